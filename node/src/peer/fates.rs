//! Answers that another node is handing to its client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_actors::AnswerFate;
use tokio::sync::mpsc;
use tokio::time::timeout;
use uuid::Uuid;

use super::{SILENCE, Saying, Word};

/// The answers on their way over other nodes. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fates(Arc<Mutex<HashMap<Uuid, mpsc::Sender<Word>>>>);

impl Fates {
    /// Keeps the fate of an answer until the entry node says what became of it, and returns the
    /// name to say it under. Silence for [`SILENCE`] is a loss: the entry node may be gone.
    pub(crate) fn keep(&self, fate: AnswerFate) -> Uuid {
        self.keep_with(move || fate.delivered())
    }

    /// As [`keep`](Self::keep); `delivered` is called, or dropped.
    fn keep_with(&self, delivered: impl FnOnce() + Send + 'static) -> Uuid {
        let token = Uuid::new_v4();
        let (sender, mut words) = mpsc::channel(4);
        self.lock().insert(token, sender);
        let fates = self.clone();
        tokio::spawn(async move {
            loop {
                match timeout(SILENCE, words.recv()).await {
                    Ok(Some(Word::Progress)) => {}
                    Ok(Some(Word::Delivered)) => {
                        delivered();
                        break;
                    }
                    Ok(Some(Word::Lost) | None) | Err(_) => break,
                }
            }
            fates.lock().remove(&token);
        });
        token
    }

    /// Says what became of an answer. `false` if nobody waits for that any more.
    pub(crate) async fn tell(&self, saying: &Saying) -> bool {
        let waiting = self.lock().get(&saying.answer).cloned();
        match waiting {
            Some(waiting) => waiting.send(saying.word).await.is_ok(),
            None => false,
        }
    }

    /// To be called when the entry node has taken the answer: from then on the word is its own.
    /// Dropped uncalled, the answer is lost.
    pub(crate) fn taken(&self, token: Uuid) -> impl FnOnce() + 'static {
        let unless = LostUnless(Some((self.clone(), token)));
        move || unless.taken()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, mpsc::Sender<Word>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct LostUnless(Option<(Fates, Uuid)>);

impl LostUnless {
    fn taken(mut self) {
        self.0 = None;
    }
}

impl Drop for LostUnless {
    fn drop(&mut self) {
        if let Some((fates, token)) = self.0.take()
            && let Some(waiting) = fates.lock().get(&token)
        {
            // With no room for the word, silence says the same.
            let _ = waiting.try_send(Word::Lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    fn kept(fates: &Fates) -> (Uuid, oneshot::Receiver<()>) {
        let (told, fate) = oneshot::channel();
        let token = fates.keep_with(move || told.send(()).unwrap());
        (token, fate)
    }

    async fn tell(fates: &Fates, answer: Uuid, word: Word) -> bool {
        fates.tell(&Saying { answer, word }).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_delivered_when_the_entry_node_says_so() {
        let fates = Fates::default();
        let (token, fate) = kept(&fates);
        for _ in 0..3 {
            tokio::time::sleep(SILENCE - Duration::from_secs(1)).await;
            assert!(tell(&fates, token, Word::Progress).await);
        }
        assert!(tell(&fates, token, Word::Delivered).await);
        assert_eq!(fate.await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_lost_when_the_entry_node_says_so_or_nothing() {
        let fates = Fates::default();
        let (token, fate) = kept(&fates);
        assert!(tell(&fates, token, Word::Lost).await);
        assert!(fate.await.is_err());
        let (token, fate) = kept(&fates);
        drop(fates.taken(token));
        assert!(fate.await.is_err(), "the entry node has not taken it");
        let (token, fate) = kept(&fates);
        fates.taken(token)();
        assert!(fate.await.is_err(), "by silence");
        tokio::task::yield_now().await;
        assert!(
            !tell(&fates, token, Word::Delivered).await,
            "it is too late"
        );
        assert!(fates.lock().is_empty());
    }
}
