//! Where clients find nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::Client;

/// The nodes as clients know them: some addresses, in rotation. Clones are of the same ones.
#[derive(Debug, Clone)]
pub struct Doors(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clients: Vec<Client>,
    open: Vec<AtomicBool>,
    next: AtomicUsize,
}

impl Doors {
    pub(crate) fn new(clients: Vec<Client>) -> Self {
        let open = clients.iter().map(|_| AtomicBool::new(true)).collect();
        Self(Arc::new(Inner {
            clients,
            open,
            next: AtomicUsize::new(0),
        }))
    }

    /// Takes a node out of the rotation.
    pub fn close(&self, number: usize) {
        self.0.open[number].store(false, Ordering::Relaxed);
    }

    /// Takes a node into the rotation.
    pub fn open(&self, number: usize) {
        self.0.open[number].store(true, Ordering::Relaxed);
    }

    /// Returns the numbers of those in the rotation.
    pub fn all_open(&self) -> Vec<usize> {
        let open = |number: &usize| self.0.open[*number].load(Ordering::Relaxed);
        (0..self.0.open.len()).filter(open).collect()
    }

    /// Returns the next of the rotation and its number; all are in it while none is.
    pub fn next(&self) -> (usize, &Client) {
        let open = self.all_open();
        let turn = self.0.next.fetch_add(1, Ordering::Relaxed);
        let number = match open.len() {
            0 => turn % self.0.clients.len(),
            many => open[turn % many],
        };
        (number, &self.0.clients[number])
    }
}
