//! A disk that loses power.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

/// What a disk writes whole or not at all, bytes.
const SECTOR: usize = 512;

/// A disk in memory. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What a reader sees.
    seen: Vec<u8>,
    /// What a loss of power leaves for sure.
    synced: Vec<u8>,
    /// What has been asked for since, in order.
    unsynced: Vec<Request>,
    /// Changes until the power goes; `None`: it stays.
    left: Option<usize>,
    /// Changes so far.
    changes: usize,
}

#[derive(Debug)]
enum Request {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Disk {
    /// The power goes at the change with this number, from now.
    pub(super) fn lose_power_after(&self, changes: usize) {
        self.state().left = Some(changes);
    }

    /// Another disk with what this one has synced.
    pub(super) fn copy(&self) -> Self {
        let synced = self.state().synced.clone();
        Self(Arc::new(Mutex::new(State {
            seen: synced.clone(),
            synced,
            ..State::default()
        })))
    }

    /// How many changes there have been.
    pub(super) fn changes(&self) -> usize {
        self.state().changes
    }

    /// The disk when the power is back: what was synced, and any part of what was not, in any
    /// order, sector by sector; `dice` says which.
    pub(super) fn after_power_loss(&self, mut dice: Dice) -> Self {
        let mut state = self.state();
        let mut left = std::mem::take(&mut state.synced);
        let mut requests = std::mem::take(&mut state.unsynced);
        while !requests.is_empty() {
            let next = dice.below(requests.len());
            match requests.remove(next) {
                Request::SetLen(length) => left.resize(length.max(left.len()), 0),
                Request::Write(at, bytes) => {
                    for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                        if dice.below(2) == 0 {
                            let at = at + number * SECTOR;
                            left.resize(left.len().max(at + sector.len()), 0);
                            left[at..at + sector.len()].copy_from_slice(sector);
                        }
                    }
                }
            }
        }
        Self(Arc::new(Mutex::new(State {
            seen: left.clone(),
            synced: left,
            ..State::default()
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn change(&self, request: Option<Request>) -> io::Result<()> {
        let mut state = self.state();
        if state.left == Some(0) {
            // What was asked for when the power went may be on the disk, or part of it.
            state.unsynced.extend(request);
            return Err(io::Error::other("the power is out"));
        }
        state.left = state.left.map(|left| left - 1);
        state.changes += 1;
        match &request {
            Some(Request::Write(at, bytes)) => {
                state.seen[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Some(Request::SetLen(length)) => state.seen.resize(*length, 0),
            None => {
                state.synced = state.seen.clone();
                state.unsynced.clear();
            }
        }
        state.unsynced.extend(request);
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = offset as usize;
        out.copy_from_slice(&self.state().seen[at..at + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Some(Request::SetLen(len as usize)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Some(Request::Write(offset as usize, data.to_vec())))
    }
}

/// The same numbers for the same seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `limit`, by splitmix64.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}
