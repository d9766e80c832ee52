//! Group commit: one thread takes every write that waits, syncs them together, and then answers each.
//!
//! It never waits for company: a write that comes alone is synced alone. Whoever comes while a sync runs shares the next.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use delta_core::storage::{Revision, Write};
use delta_core::{Error, Result};
use fjall::{Database, Keyspace, PersistMode};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::sequence::SequenceFile;
use crate::storage::{Spaces, object_key, unknown};

/// The answers to the writes of one request, in order.
pub(crate) type Answers = Vec<Result<Option<Revision>>>;

/// Under which key the tree itself keeps the number of its last batch.
pub(crate) const SEQUENCE_KEY: &[u8] = b"sequence";

/// The waiting side.
#[derive(Debug)]
pub(crate) struct Committer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    waiting_max: usize,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    requests: VecDeque<Request>,
    writes: usize,
    closed: bool,
    /// Why no write is taken any more.
    failed: Option<String>,
}

#[derive(Debug)]
struct Request {
    writes: Vec<Write>,
    answer: oneshot::Sender<Result<Answers>>,
}

impl Committer {
    /// Starts the thread.
    pub(crate) fn start(
        database: Database,
        spaces: Spaces,
        meta: Keyspace,
        sequence: (SequenceFile, u64),
        config: &Config,
    ) -> Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), arrived: Condvar::new() });
        let worker = Worker {
            shared: shared.clone(),
            database,
            spaces,
            meta,
            sequence: sequence.0,
            number: sequence.1,
            writes_max: config.commit_writes_max,
        };
        let thread = std::thread::Builder::new().name("commit".into()).spawn(move || worker.run());
        let thread = thread.map_err(|error| Error::unavailable("cannot start the commit thread").with_source(error))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), waiting_max: config.waiting_writes_max })
    }

    /// Commits writes, all or none, and answers once they are durable and visible.
    pub(crate) async fn commit(&self, writes: Vec<Write>) -> Result<Answers> {
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = self.shared.queue();
            queue.accepts()?;
            if queue.writes + writes.len() > self.waiting_max {
                let message = format!("more than {} writes wait for the disk; try again", self.waiting_max);
                return Err(Error::unavailable(message));
            }
            queue.writes += writes.len();
            queue.requests.push_back(Request { writes, answer });
        }
        self.shared.arrived.notify_one();
        answered.await.unwrap_or_else(|_| Err(unknown("the commit thread ended")))
    }

    /// Whether writes are taken; the error says why not.
    pub(crate) fn ready(&self) -> Result<()> {
        self.shared.queue().accepts()
    }

    /// Takes no more writes, ends those that wait, and stops the thread.
    pub(crate) fn close(&self) {
        self.shared.queue().closed = true;
        self.shared.arrived.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(thread.map(JoinHandle::join));
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn accepts(&self) -> Result<()> {
        match (&self.failed, self.closed) {
            (Some(why), _) => Err(Error::unavailable(format!(
                "the disk failed ({why}), so nothing is written any more; repair it, then restart the server"
            ))),
            (None, true) => Err(Error::unavailable("the store is closed")),
            (None, false) => Ok(()),
        }
    }
}

/// The working side.
struct Worker {
    shared: Arc<Shared>,
    database: Database,
    spaces: Spaces,
    meta: Keyspace,
    sequence: SequenceFile,
    /// The number of the last batch.
    number: u64,
    writes_max: usize,
}

/// What the batch under construction makes of the objects it touches.
type Changed = HashMap<(usize, Vec<u8>), Option<Revision>>;

impl Worker {
    fn run(mut self) {
        while let Some(requests) = self.take() {
            self.commit(requests);
        }
    }

    /// Every request that waits, as far as one batch goes; `None` when there will be no more.
    fn take(&self) -> Option<Vec<Request>> {
        let mut queue = self.shared.queue();
        while queue.requests.is_empty() {
            if queue.closed {
                return None;
            }
            queue = self.shared.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let mut taken = Vec::new();
        let mut writes = 0;
        while let Some(request) = queue.requests.pop_front() {
            writes += request.writes.len();
            taken.push(request);
            if writes >= self.writes_max {
                break;
            }
        }
        queue.writes = queue.writes.saturating_sub(writes);
        Some(taken)
    }

    fn commit(&mut self, requests: Vec<Request>) {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        let mut changed = Changed::new();
        let mut committing = Vec::new();
        for request in requests {
            match self.check(&request.writes, &changed) {
                Err(error) => drop(request.answer.send(Err(error))),
                Ok(answers) if answers.iter().any(Result::is_err) => drop(request.answer.send(Ok(refused(answers)))),
                Ok(_) => {
                    let answers = request.writes.iter().map(|write| Ok(self.add(&mut batch, &mut changed, write)));
                    committing.push((answers.collect(), request.answer));
                }
            }
        }
        if committing.is_empty() {
            return;
        }
        self.number += 1;
        batch.insert(&self.meta, SEQUENCE_KEY, self.number.to_le_bytes());
        let committed = batch.commit().map_err(|error| error.to_string());
        let noted = committed.and_then(|()| self.sequence.note(self.number).map_err(|error| error.to_string()));
        if let Err(why) = &noted {
            tracing::error!(%why, "the disk failed; nothing is written any more");
            self.shared.queue().failed = Some(why.clone());
        }
        for (answers, answer) in committing {
            drop(answer.send(noted.clone().map(|()| answers).map_err(|why| unknown(&why))));
        }
    }

    /// Whether each expectation holds, after the writes that this batch already has.
    fn check(&self, writes: &[Write], changed: &Changed) -> Result<Answers> {
        let mut own: Changed = HashMap::new();
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            let key = (write.name.space as usize, object_key(&write.name));
            let found = match own.get(&key).or_else(|| changed.get(&key)) {
                Some(found) => found.clone(),
                None => self.spaces.get(&write.name)?.map(|bytes| Revision::of(&bytes)),
            };
            answers.push(match write.expect.holds(found.as_ref()) {
                true => Ok(None),
                false => Err(Error::conflict("the object is not in the expected state")),
            });
            own.insert(key, write.object.as_ref().map(|object| object.revision()));
        }
        Ok(answers)
    }

    fn add(&self, batch: &mut fjall::OwnedWriteBatch, changed: &mut Changed, write: &Write) -> Option<Revision> {
        let key = object_key(&write.name);
        let keyspace = self.spaces.keyspace(write.name.space);
        let revision = write.object.as_ref().map(|object| object.revision());
        match &write.object {
            Some(object) => batch.insert(keyspace, key.as_slice(), object.bytes().as_ref()),
            None => batch.remove(keyspace, key.as_slice()),
        }
        changed.insert((write.name.space as usize, key), revision.clone());
        revision
    }
}

/// The answers to a request of which one write does not fit: nothing of it happens.
fn refused(answers: Answers) -> Answers {
    let others = || Err(Error::conflict("another write of the batch failed").with_code("batch_not_applied"));
    answers.into_iter().map(|answer| answer.and_then(|_| others())).collect()
}
