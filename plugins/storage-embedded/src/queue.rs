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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use delta_core::ErrorKind;
    use delta_core::storage::{Revision, Space};

    use super::*;
    use crate::tree::Shelf;

    type Answered = oneshot::Receiver<Result<Vec<Result<()>>>>;

    fn request(writes: usize, bytes: usize) -> (Request, Answered) {
        let demand = || Demand {
            change: Change {
                shelf: Shelf::Of(Space::Entities),
                key: Bytes::from_static(b"/a"),
                to: Some((vec![0; bytes].into(), Revision::new(Bytes::new()))),
            },
            expect: Expect::Anything,
        };
        let (answer, answered) = oneshot::channel();
        (Request::All((0..writes).map(|_| demand()).collect(), answer), answered)
    }

    fn queue() -> Queue {
        let mut config = Config::new("");
        (config.commit_writes_max, config.waiting_writes_max, config.waiting_bytes_max) = (10, 20, 1_000);
        Queue::new(&config)
    }

    fn push(queue: &Queue, writes: usize, bytes: usize) -> Result<()> {
        queue.push(request(writes, bytes).0)
    }

    fn taken(queue: &Queue) -> Vec<usize> {
        let mut taken = Vec::new();
        queue.take(&mut taken);
        taken.iter().map(|request| request.demands().len()).collect()
    }

    #[test]
    fn more_than_may_wait_is_refused() {
        for (writes, bytes) in [(5, 1), (1, 250)] {
            let queue = queue();
            for _ in 0..4 {
                push(&queue, writes, bytes).unwrap();
            }
            let refused = push(&queue, 1, 1).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unavailable);
            assert!(refused.to_string().contains("20 writes or 1000 bytes"), "{refused}");
            while !taken(&queue).is_empty() {}
            push(&queue, 1, 1).unwrap();
        }
    }

    #[test]
    fn what_is_too_much_by_itself_is_taken_alone() {
        let queue = queue();
        push(&queue, 21, 100).unwrap();
        push(&queue, 1, 1).unwrap_err();
        assert_eq!(taken(&queue), [21]);
        push(&queue, 1, 1).unwrap();
    }

    #[test]
    fn a_commit_has_as_many_writes_as_it_may() {
        let queue = queue();
        for writes in [4, 4, 4, 1, 1, 1] {
            push(&queue, writes, 1).unwrap();
        }
        assert_eq!([taken(&queue), taken(&queue), taken(&queue)], [vec![4, 4], vec![4, 1, 1, 1], vec![]]);
    }

    #[test]
    fn a_closed_queue_is_emptied_and_takes_no_more() {
        let queue = queue();
        push(&queue, 1, 1).unwrap();
        assert!(!queue.is_idle());
        queue.close();
        assert_eq!(push(&queue, 1, 1).unwrap_err().to_string(), "the store is closed");
        assert!(queue.wait());
        assert_eq!(taken(&queue), [1]);
        assert!(!queue.wait());
        assert!(!queue.is_idle(), "idle means that it takes requests");
    }

    #[test]
    fn a_failure_refuses_what_waits_and_outlasts_closing() {
        let queue = queue();
        let (waiting, mut answered) = request(3, 1);
        queue.push(waiting).unwrap();
        queue.fail("on fire".into());
        queue.close();
        for refused in [answered.try_recv().unwrap().map(drop), push(&queue, 1, 1), queue.accepts()] {
            let refused = refused.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unavailable);
            assert!(refused.to_string().contains("on fire"), "{refused}");
        }
        assert!(!queue.wait());
    }
}
