//! Group commit: whoever commits takes every write that waits, syncs them together, and then answers each.
//!
//! It never waits for company: a write that comes alone is synced alone, whoever comes while a sync runs shares the next.
//! The surprise: a lone write on a quick disk is committed where it was called, because handing it to the commit thread and
//! back costs more than the sync itself. After a failed sync nobody knows what the disk holds, so nothing is written any
//! more until a restart has looked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use delta_core::{Error, Result};
use tokio::sync::{Semaphore, oneshot};

use crate::group::Group;
use crate::queue::{Demand, Queue, Request, stopped};
use crate::recovery::Recovered;
use crate::sequence::SequenceFile;
use crate::tree::{CommitError, Tree};

/// How long a commit may have taken for the next one to run where it is called: as long as an async thread may be blocked
/// without harm to the others.
const INLINE_COMMIT_MAX: Duration = Duration::from_micros(200);

/// Why no more writes are taken after a commit panicked.
const CUT_SHORT: &str = "a commit was cut short";

/// The waiting side.
#[derive(Debug)]
pub(crate) struct Committer {
    queue: Arc<Queue>,
    worker: Arc<Mutex<Worker>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// How many async threads may be blocked.
    inline: Arc<Semaphore>,
}

impl Committer {
    /// Starts the thread. `inline` has a permit for each async thread that may be blocked.
    pub(crate) fn start(recovered: Recovered, queue: Queue, inline: Arc<Semaphore>) -> Result<Self> {
        let queue = Arc::new(queue);
        let worker = Arc::new(Mutex::new(Worker::new(queue.clone(), recovered)));
        let (waiting, working) = (queue.clone(), worker.clone());
        let run = move || {
            while waiting.wait() {
                lock(&working).commit_waiting();
            }
        };
        let thread = std::thread::Builder::new().name("commit".into()).spawn(run);
        let thread = thread.map_err(|error| Error::unavailable("cannot start the commit thread").with_source(error))?;
        Ok(Self { queue, worker, thread: Mutex::new(Some(thread)), inline })
    }

    /// Commits one write, and answers once it is durable and visible. Given up while it waits, it is done all the same.
    pub(crate) async fn one(&self, demand: Demand) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        if let Some(request) = self.commit_here(Request::One(demand, answer)) {
            self.queue.push(request)?;
        }
        answered.await.unwrap_or_else(|_| Err(self.cut_short()))
    }

    /// Commits several writes, all or none, and answers each.
    pub(crate) async fn all(&self, demands: Vec<Demand>) -> Result<Vec<Result<()>>> {
        let (answer, answered) = oneshot::channel();
        self.queue.push(Request::All(demands, answer))?;
        answered.await.unwrap_or_else(|_| Err(self.cut_short()))
    }

    /// The answer to a write whose commit ended without one: whoever hears it finds that no more writes are taken.
    fn cut_short(&self) -> Error {
        if self.queue.accepts().is_ok() {
            self.queue.fail(CUT_SHORT.into());
        }
        unknown(CUT_SHORT)
    }

    /// Commits a request that is alone; gives it back if it is not, if the disk is slow, or if no thread is to spare.
    fn commit_here(&self, request: Request) -> Option<Request> {
        let Ok(_permit) = self.inline.try_acquire() else { return Some(request) };
        let Ok(mut worker) = self.worker.try_lock() else { return Some(request) };
        if !worker.is_calm || !self.queue.is_idle() {
            return Some(request);
        }
        worker.commit(request);
        None
    }

    /// Whether writes are taken; the error says why not.
    pub(crate) fn ready(&self) -> Result<()> {
        self.queue.accepts()
    }

    /// Takes no more writes, ends those that wait, and stops the thread. Blocks for as long as that takes.
    pub(crate) fn close(&self) {
        self.queue.close();
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        // It panics only after it has said that the store failed.
        drop(thread.join());
        // A formality, in case that the power goes next: what counts is in the tree.
        if let Err(error) = lock(&self.worker).sequence.sync() {
            tracing::warn!(%error, "the number of the last commit was not synced");
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock(worker: &Mutex<Worker>) -> MutexGuard<'_, Worker> {
    worker.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A write of which nobody knows whether it happened.
fn unknown(why: &str) -> Error {
    let advice = "read before repeating it, after a restart";
    Error::outcome_unknown(format!("the disk failed while writing ({why}); {advice}"))
}

/// The working side: whoever holds it commits.
#[derive(Debug)]
struct Worker {
    queue: Arc<Queue>,
    tree: Tree,
    sequence: SequenceFile,
    /// The number of the last commit.
    number: u64,
    /// Whether the last commit was quick and of one request, so that the next one may be as well.
    is_calm: bool,
    taken: Vec<Request>,
    group: Group,
}

impl Worker {
    fn new(queue: Arc<Queue>, recovered: Recovered) -> Self {
        let Recovered { tree, sequence, number } = recovered;
        Self { queue, tree, sequence, number, is_calm: false, taken: Vec::new(), group: Group::default() }
    }

    /// Commits one request that is not in the queue.
    fn commit(&mut self, request: Request) {
        self.taken.push(request);
        self.commit_taken();
    }

    /// Commits what waits in the queue, up to the limit of one commit.
    fn commit_waiting(&mut self) {
        self.queue.take(&mut self.taken);
        self.commit_taken();
    }

    fn commit_taken(&mut self) {
        let started = Instant::now();
        let requests = self.taken.len();
        // In a panic the group goes, and with it the answers, so that nobody waits for one; but first it is said why.
        let mut group = std::mem::take(&mut self.group);
        let _said = SayIfPanicking(self.queue.clone());
        for request in self.taken.drain(..) {
            group.add(&self.tree, request);
        }
        self.commit_group(&mut group);
        self.group = group;
        self.is_calm = requests == 1 && started.elapsed() <= INLINE_COMMIT_MAX;
    }

    fn commit_group(&mut self, group: &mut Group) {
        if !group.has_changes() {
            return group.answer();
        }
        self.number += 1;
        let committed = self.tree.commit(self.number, group.changes()).and_then(|()| {
            // Before anybody is told, so that a killed process cannot have told more than it noted. It is also the proof that
            // the file system still works: XFS, which shuts itself down when its disk fails, may just have called a sync done
            // that it has dropped, and refuses any write from then on.
            self.sequence.note(self.number).map_err(|error| CommitError::Unknown(error.to_string()))
        });
        match committed {
            Ok(()) => group.answer(),
            Err(CommitError::Stopped(why)) => {
                self.queue.fail(why.clone());
                group.refuse(|| stopped(&why), || stopped(&why));
            }
            Err(CommitError::Unknown(why)) => {
                self.queue.fail(why.clone());
                group.refuse(|| unknown(&why), || stopped(&why));
            }
        }
    }
}

/// Stops all writes if a commit panics: what it did is unknown.
struct SayIfPanicking(Arc<Queue>);

impl Drop for SayIfPanicking {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(CUT_SHORT.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use delta_core::conformance;
    use delta_core::storage::{Expect, Space};

    use super::*;
    use crate::config::Config;
    use crate::directory::Directory;
    use crate::recovery;
    use crate::tree::{Change, Shelf};

    struct Store {
        committer: Committer,
        _directory: (Directory, tempfile::TempDir),
    }

    impl Store {
        fn new() -> Self {
            let temporary = tempfile::tempdir().unwrap();
            let config = Config::new(temporary.path());
            let directory = Directory::take(&config.path).unwrap();
            let recovered = recovery::open(&directory, &config).unwrap();
            let committer = Committer::start(recovered, Queue::new(&config), Arc::new(Semaphore::new(1))).unwrap();
            Self { committer, _directory: (directory, temporary) }
        }

        /// Whether a write is committed where it is called, and then its answer.
        fn commits_here(&self) -> Option<Result<()>> {
            let (answer, mut answered) = oneshot::channel();
            let request = Request::One(demand("/a".into()), answer);
            self.committer.commit_here(request).is_none().then(|| answered.try_recv().unwrap())
        }

        fn calm(&self) {
            lock(&self.committer.worker).is_calm = true;
        }
    }

    fn demand(key: bytes::Bytes) -> Demand {
        let object = conformance::object(1, 10);
        let to = Some((object.bytes().clone(), object.revision()));
        Demand { change: Change { shelf: Shelf::Of(Space::Entities), key, to }, expect: Expect::Absent }
    }

    #[test]
    fn a_lone_write_after_a_quick_one_is_committed_where_it_is_called() {
        let store = Store::new();
        assert!(store.commits_here().is_none(), "nothing is known of the disk yet");
        store.calm();
        store.commits_here().unwrap().unwrap();
    }

    #[test]
    fn a_write_that_is_not_alone_or_has_no_thread_to_spare_is_handed_over() {
        let store = Store::new();
        store.calm();
        let permit = store.committer.inline.try_acquire().unwrap();
        assert!(store.commits_here().is_none(), "no thread to spare");
        drop(permit);
        let worker = lock(&store.committer.worker);
        assert!(store.commits_here().is_none(), "a commit runs");
        drop(worker);
        store.committer.close();
        assert!(store.commits_here().is_none(), "the queue says why not");
    }

    #[tokio::test]
    async fn a_panic_answers_everybody_and_stops_writes() {
        let store = Store::new();
        let (one, other) = (demand(vec![b'a'; 70_000].into()), demand("/a".into()));
        // The tree asserts that no key is that long.
        let unknown = store.committer.one(one).await.unwrap_err();
        assert_eq!(unknown.kind(), delta_core::ErrorKind::OutcomeUnknown);
        assert_eq!(store.committer.ready().unwrap_err().kind(), delta_core::ErrorKind::Unavailable);
        assert_eq!(store.committer.all(vec![other]).await.unwrap_err().kind(), delta_core::ErrorKind::Unavailable);
        store.committer.close();
    }
}
