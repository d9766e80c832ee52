//! The writes that wait for the commit thread: bounded, and answered whatever happens to the thread.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use delta_core::storage::Expect;
use delta_core::{Error, Result};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::tree::Change;

/// A change, and what it demands to find.
#[derive(Debug)]
pub(crate) struct Demand {
    pub(crate) change: Change,
    pub(crate) expect: Expect,
}

/// What one caller waits for.
#[derive(Debug)]
pub(crate) enum Request {
    /// One write.
    One(Demand, oneshot::Sender<Result<()>>),
    /// Several, all or none.
    All(Vec<Demand>, oneshot::Sender<Result<Vec<Result<()>>>>),
}

impl Request {
    fn demands(&self) -> &[Demand] {
        match self {
            Self::One(demand, _) => std::slice::from_ref(demand),
            Self::All(demands, _) => demands,
        }
    }

    fn bytes(&self) -> usize {
        let bytes = |demand: &Demand| demand.change.to.as_ref().map_or(0, |(image, _)| image.len());
        self.demands().iter().map(bytes).sum()
    }

    /// Answers with an error; the caller may have gone.
    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::One(_, answer) => drop(answer.send(Err(error))),
            Self::All(_, answer) => drop(answer.send(Err(error))),
        }
    }
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    limits: Limits,
}

#[derive(Debug)]
struct Limits {
    commit_writes: usize,
    waiting_writes: usize,
    waiting_bytes: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: Vec<Request>,
    writes: usize,
    bytes: usize,
    end: Option<End>,
}

/// Why nothing is taken any more.
#[derive(Debug)]
enum End {
    Closed,
    Failed(String),
}

impl Queue {
    /// An empty queue with the limits of the settings.
    pub(crate) fn new(config: &Config) -> Self {
        let limits = Limits {
            commit_writes: config.commit_writes_max,
            waiting_writes: config.waiting_writes_max,
            waiting_bytes: config.waiting_bytes_max,
        };
        Self { waiting: Mutex::default(), arrived: Condvar::new(), limits }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request, or refuses it because the disk does not keep up or nothing is taken any more.
    pub(crate) fn push(&self, request: Request) -> Result<()> {
        let (writes, bytes) = (request.demands().len(), request.bytes());
        let mut waiting = self.waiting();
        waiting.accepts()?;
        // What is too much by itself is taken when it is alone.
        let is_alone = waiting.requests.is_empty();
        let limits = &self.limits;
        if !is_alone
            && (waiting.writes + writes > limits.waiting_writes || waiting.bytes + bytes > limits.waiting_bytes)
        {
            let (writes, bytes) = (limits.waiting_writes, limits.waiting_bytes);
            let message = format!("more than {writes} writes or {bytes} bytes wait for the disk; try again");
            return Err(Error::unavailable(message));
        }
        waiting.writes += writes;
        waiting.bytes += bytes;
        waiting.requests.push(request);
        drop(waiting);
        if is_alone {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits until there are requests; false when there will be no more.
    pub(crate) fn wait(&self) -> bool {
        let mut waiting = self.waiting();
        while waiting.requests.is_empty() {
            if waiting.end.is_some() {
                return false;
            }
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// Moves requests into `taken`, which is empty: as many as one commit may have.
    pub(crate) fn take(&self, taken: &mut Vec<Request>) {
        let mut waiting = self.waiting();
        if waiting.writes <= self.limits.commit_writes {
            std::mem::swap(&mut waiting.requests, taken);
            (waiting.writes, waiting.bytes) = (0, 0);
            return;
        }
        let mut writes = 0;
        let fits = |request: &&Request| {
            writes += request.demands().len();
            writes <= self.limits.commit_writes
        };
        let count = waiting.requests.iter().take_while(fits).count().max(1);
        taken.extend(waiting.requests.drain(..count));
        waiting.writes -= taken.iter().map(|request| request.demands().len()).sum::<usize>();
        waiting.bytes -= taken.iter().map(Request::bytes).sum::<usize>();
    }

    /// Whether nothing waits and requests are taken.
    pub(crate) fn is_idle(&self) -> bool {
        let waiting = self.waiting();
        waiting.requests.is_empty() && waiting.end.is_none()
    }

    /// Whether requests are taken; the error says why not.
    pub(crate) fn accepts(&self) -> Result<()> {
        self.waiting().accepts()
    }

    /// Takes no more requests; those that wait are still done.
    pub(crate) fn close(&self) {
        self.waiting().end.get_or_insert(End::Closed);
        self.arrived.notify_one();
    }

    /// Takes no more requests, and refuses those that wait: nothing of them was written.
    pub(crate) fn fail(&self, why: String) {
        tracing::error!(%why, "the disk failed; nothing is written any more");
        let mut waiting = self.waiting();
        for request in std::mem::take(&mut waiting.requests) {
            request.refuse(stopped(&why));
        }
        (waiting.writes, waiting.bytes) = (0, 0);
        waiting.end = Some(End::Failed(why));
    }
}

impl Waiting {
    fn accepts(&self) -> Result<()> {
        match &self.end {
            None => Ok(()),
            Some(End::Closed) => Err(Error::unavailable("the store is closed")),
            Some(End::Failed(why)) => Err(stopped(why)),
        }
    }
}

/// Writes have stopped for good; reads go on.
pub(crate) fn stopped(why: &str) -> Error {
    let advice = "nothing is written any more; repair the disk, then restart the server";
    Error::unavailable(format!("the disk failed ({why}); {advice}"))
}
