//! Tells other nodes what becomes of their answers.
//!
//! One request at a time to each node says all that is to be said by then: an idle node waits for
//! nothing, and a busy one pays for a request with many answers instead of one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sluice_raft::NodeAddress;
use sluice_types::NodeId;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::client::with_headers;
use super::{Badge, SILENCE, WORDS};
use crate::ownership::Owner;

/// How long a node may take to hear a request. Well within [`SILENCE`], so that words that met a
/// broken connection are said again while they count.
const HEARD_WITHIN: Duration = Duration::from_secs(1);
/// How long before another try.
const SAY_AGAIN: Duration = Duration::from_millis(200);
/// Most words in one request.
const MOST: usize = 4_096;

/// What the entry node says of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Word {
    /// The client is still taking it.
    Progress,
    /// The client's connection has taken it whole.
    Delivered,
    /// It has not reached the client.
    Lost,
}

/// A word on one answer. Hearing it again changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saying {
    /// The name under which the owner keeps the answer's fate.
    pub(crate) answer: Uuid,
    pub(crate) word: Word,
}

/// Words on their way to other nodes. Clones are the same.
#[derive(Clone)]
pub(super) struct Words(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    badge: Badge,
    /// Goes on when the thread ends on which something was said.
    runtime: Handle,
    /// The nodes that are being told something, and what they are to be told next: a few words an
    /// answer, and there are answers only from a node that is there.
    waiting: Mutex<HashMap<NodeId, Vec<Waiting>>>,
    /// Rung when there are none any more.
    silent: Notify,
}

/// Something to be said before the owner takes silence for a loss.
struct Waiting {
    saying: Saying,
    until: Instant,
}

impl Words {
    /// Must be called within a tokio runtime, which says them.
    pub(super) fn new(http: reqwest::Client, badge: Badge) -> Self {
        Self(Arc::new(Inner {
            http,
            badge,
            runtime: Handle::current(),
            waiting: Mutex::default(),
            silent: Notify::new(),
        }))
    }

    /// Has the owner of an answer told this, in order with what it was told before.
    pub(super) fn say(&self, owner: &Owner, saying: Saying) {
        let until = Instant::now() + SILENCE;
        let waiting = Waiting { saying, until };
        match self.lock().entry(owner.node.clone()) {
            Entry::Occupied(mut present) => present.get_mut().push(waiting),
            Entry::Vacant(absent) => {
                absent.insert(vec![waiting]);
                let telling = self.clone().tell(owner.address.clone(), owner.node.clone());
                self.0.runtime.spawn(telling);
            }
        }
    }

    /// Waits until all has been said, or counts no more.
    pub(super) async fn said(&self) {
        let mut silent = pin!(self.0.silent.notified());
        loop {
            silent.as_mut().enable();
            if self.lock().is_empty() {
                return;
            }
            silent.as_mut().await;
            silent.set(self.0.silent.notified());
        }
    }

    /// Says all there is to be said to one node.
    async fn tell(self, address: NodeAddress, receiver: NodeId) {
        while let Some(words) = self.take(&receiver) {
            if !self.send(&address, &receiver, &words).await {
                sleep(SAY_AGAIN).await;
                self.put_back(&receiver, words);
            }
        }
    }

    /// What is to be said next. `None` if that is nothing: the next word begins anew.
    fn take(&self, receiver: &NodeId) -> Option<Vec<Waiting>> {
        let now = Instant::now();
        let mut all = self.lock();
        let waiting = all.get_mut(receiver)?;
        waiting.retain(|word| word.until > now);
        if waiting.is_empty() {
            all.remove(receiver);
            if all.is_empty() {
                self.0.silent.notify_waiters();
            }
            return None;
        }
        let later = waiting.split_off(waiting.len().min(MOST));
        Some(std::mem::replace(waiting, later))
    }

    fn put_back(&self, receiver: &NodeId, mut words: Vec<Waiting>) {
        if let Some(waiting) = self.lock().get_mut(receiver) {
            words.append(waiting);
            *waiting = words;
        }
    }

    /// Whether the node has heard them, if it is still the one they are meant for.
    async fn send(&self, address: &NodeAddress, receiver: &NodeId, words: &[Waiting]) -> bool {
        let sayings: Vec<Saying> = words.iter().map(|word| word.saying).collect();
        let url = format!("http://{address}{WORDS}");
        let sending = self.0.http.post(url).timeout(HEARD_WITHIN);
        let sending = with_headers(sending, &self.0.badge.show(receiver));
        sending.json(&sayings).send().await.is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Vec<Waiting>>> {
        let waiting = &self.0.waiting;
        waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use actix_web::{App, HttpResponse, HttpServer, web};
    use sluice_types::Incarnation;
    use tokio::sync::{mpsc, oneshot};

    use super::*;
    use crate::identity::Identity;
    use crate::peer::{Credentials, client};

    /// A request that an owner hears, and answers when it is told to.
    type Heard = (Vec<Saying>, oneshot::Sender<()>);

    /// The owner of answers, at a port of its own; it hears nothing yet.
    struct Hearing {
        owner: Owner,
        listener: TcpListener,
    }

    impl Hearing {
        fn prepare() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let owner = Owner {
                node: node("owner"),
                address: address.parse().unwrap(),
                epoch: None,
            };
            Self { owner, listener }
        }

        /// Begins to hear.
        fn open(self) -> mpsc::Receiver<Heard> {
            let (told, heard) = mpsc::channel(8);
            let hear = move |sayings: web::Json<Vec<Saying>>| {
                let (answer, answered) = oneshot::channel();
                told.try_send((sayings.into_inner(), answer)).unwrap();
                async move {
                    let _ = answered.await;
                    HttpResponse::NoContent().finish()
                }
            };
            let app = move || App::new().route(WORDS, web::post().to(hear.clone()));
            let server = HttpServer::new(app).workers(1).listen(self.listener);
            tokio::spawn(server.unwrap().run());
            heard
        }
    }

    fn node(name: &str) -> NodeId {
        NodeId {
            name: name.parse().unwrap(),
            incarnation: Incarnation::random(),
        }
    }

    fn words() -> Words {
        let entry = node("entry");
        let credentials = Credentials::new("sluice".to_owned(), entry.name.clone(), Vec::new());
        let badge = Badge::new(credentials, Identity::alone(entry));
        Words::new(client::client().unwrap(), badge)
    }

    fn sayings(count: usize) -> Vec<Saying> {
        let words = [Word::Progress, Word::Delivered, Word::Lost];
        let said = words.into_iter().cycle().take(count);
        let answer = Uuid::new_v4();
        said.map(|word| Saying { answer, word }).collect()
    }

    #[actix_web::test]
    async fn what_is_said_while_a_request_is_on_its_way_is_in_the_next() {
        let (hearing, words) = (Hearing::prepare(), words());
        let owner = hearing.owner.clone();
        let mut heard = hearing.open();
        let sayings = sayings(9);
        words.say(&owner, sayings[0]);
        let (first, answer) = heard.recv().await.unwrap();
        assert_eq!(first, sayings[..1]);
        for saying in &sayings[1..] {
            words.say(&owner, *saying);
        }
        answer.send(()).unwrap();
        let (rest, answer) = heard.recv().await.unwrap();
        assert_eq!(rest, sayings[1..]);
        answer.send(()).unwrap();
        words.said().await;
        words.say(&owner, sayings[0]);
        assert_eq!(heard.recv().await.unwrap().0, sayings[..1]);
    }

    #[actix_web::test]
    async fn what_was_not_heard_is_said_again_in_order() {
        let (hearing, words) = (Hearing::prepare(), words());
        let owner = hearing.owner.clone();
        let mut heard = hearing.open();
        let sayings = sayings(4);
        words.say(&owner, sayings[0]);
        let unanswered = heard.recv().await.unwrap();
        assert_eq!(unanswered.0, sayings[..1]);
        for saying in &sayings[1..] {
            words.say(&owner, *saying);
        }
        let (again, answer) = heard.recv().await.unwrap();
        assert_eq!(again, sayings);
        answer.send(()).unwrap();
        words.said().await;
    }

    #[actix_web::test]
    async fn what_counts_no_more_is_said_no_more() {
        let words = words();
        let owner = Hearing::prepare().owner;
        let began = Instant::now();
        words.say(&owner, sayings(1)[0]);
        words.said().await;
        assert!(began.elapsed() >= SILENCE);
        assert!(words.lock().is_empty());
    }
}
