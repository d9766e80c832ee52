//! One worker at a main: what it was sent, what it has not answered, and when it was last heard of.
//!
//! The surprise is `sent`: a task waits in a queue until the connection takes it, and only then may the worker have got it.
//! So whoever loses a worker knows whether a write can have happened.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use delta_core::cache::CacheStats;
use delta_core::name::WriterId;
use futures::Stream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::cluster::tickets::TokenDigest;
use crate::grpc::api::delta::v1::answer::Outcome;
use crate::grpc::api::delta::v1::to_worker::Frame;
use crate::grpc::api::delta::v1::{KeysChanged, LastTask, MainBeat, Task, ToWorker, WorkerBeat};

/// How many tasks a worker may have at a time, waiting ones included; more go to another one.
pub(crate) const TASKS_MAX: usize = 1_024;
/// Room in the queue for what is no task.
const OTHER_FRAMES_MAX: usize = 64;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The worker has not got the task, and never will.
    Unsent,
    /// It may have got it.
    Sent,
    /// Nobody waits for it any more, and it may have got it.
    Late,
}

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It takes tasks.
    Open,
    /// It ends those it has.
    Draining,
    /// Its stream is over.
    Ended,
}

/// A task without an answer yet.
struct Waiting {
    answer: oneshot::Sender<Result<Outcome, Lost>>,
    deadline: Instant,
    sent: bool,
}

struct Lane {
    state: State,
    next: u64,
    waiting: HashMap<u64, Waiting>,
}

/// A worker's stream, from the main's side.
pub(crate) struct Session {
    pub(crate) worker: WriterId,
    /// What the worker says about itself.
    pub(crate) tags: HashMap<String, String>,
    lane: Mutex<Lane>,
    queue: mpsc::Sender<ToWorker>,
    began: Instant,
    /// When it was last heard of, in milliseconds since it began.
    heard_ms: AtomicU64,
    cache: Mutex<CacheStats>,
    /// The token that it goes on with, and until when.
    token: Mutex<(TokenDigest, Instant)>,
    in_flight: AtomicUsize,
    ended: CancellationToken,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({}, {:?})", self.worker, self.state())
    }
}

impl Session {
    /// A worker that has just come, and what it is sent.
    pub(crate) fn new(
        worker: WriterId,
        tags: HashMap<String, String>,
        token: TokenDigest,
        expires: Instant,
    ) -> (Arc<Self>, impl Stream<Item = Result<ToWorker, Status>> + Send + 'static) {
        let (queue, frames) = mpsc::channel(TASKS_MAX + OTHER_FRAMES_MAX);
        let session = Arc::new(Self {
            worker,
            tags,
            lane: Mutex::new(Lane { state: State::Open, next: 1, waiting: HashMap::new() }),
            queue,
            began: Instant::now(),
            heard_ms: AtomicU64::new(0),
            cache: Mutex::default(),
            token: Mutex::new((token, expires)),
            in_flight: AtomicUsize::new(0),
            ended: CancellationToken::new(),
        });
        (session.clone(), outbox(session, frames))
    }

    fn lane(&self) -> MutexGuard<'_, Lane> {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a task done, and gives what became of it.
    pub(crate) async fn ask(&self, mut task: Task, deadline: Instant) -> Result<Outcome, Lost> {
        let (answer, answered) = oneshot::channel();
        let id = {
            let mut lane = self.lane();
            if lane.state != State::Open || lane.waiting.len() >= TASKS_MAX {
                return Err(Lost::Unsent);
            }
            let id = lane.next;
            task.id = id;
            // Under the lock: whoever has the worker drain knows that nothing is queued behind the last frame.
            let frame = ToWorker { said_ms: 0, frame: Some(Frame::Task(task)) };
            self.queue.try_send(frame).map_err(|_| Lost::Unsent)?;
            lane.next += 1;
            lane.waiting.insert(id, Waiting { answer, deadline, sent: false });
            id
        };
        let _place = Place::take(self, id);
        match tokio::time::timeout_at(deadline.into(), answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Lost::Sent),
            // Taken out in the same step, so that it cannot be sent after it was found not to be.
            Err(_) => match self.lane().waiting.remove(&id) {
                Some(waiting) if !waiting.sent => Err(Lost::Unsent),
                _ => Err(Lost::Late),
            },
        }
    }

    /// The worker has answered.
    pub(crate) fn answered(&self, id: u64, outcome: Outcome) {
        // One that nobody waits for any more is no news.
        if let Some(waiting) = self.lane().waiting.remove(&id) {
            drop(waiting.answer.send(Ok(outcome)));
        }
    }

    /// The worker wants no more tasks: it is told which was the last.
    pub(crate) fn drain(&self) {
        let mut lane = self.lane();
        if lane.state == State::Open {
            lane.state = State::Draining;
            drop(self.queue.try_send(ToWorker { said_ms: 0, frame: Some(Frame::LastTask(LastTask {})) }));
        }
    }

    /// The stream is over: who waits for an answer is told whether the worker may have got the task.
    pub(crate) fn end(&self) {
        let mut lane = self.lane();
        lane.state = State::Ended;
        self.ended.cancel();
        for (_, waiting) in lane.waiting.drain() {
            drop(waiting.answer.send(Err(if waiting.sent { Lost::Sent } else { Lost::Unsent })));
        }
    }

    /// Says that the store has other keys.
    pub(crate) fn say_keys_changed(&self) {
        drop(self.queue.try_send(ToWorker { said_ms: 0, frame: Some(Frame::KeysChanged(KeysChanged {})) }));
    }

    /// Says that the main lives.
    pub(crate) fn say_beat(&self) {
        drop(self.queue.try_send(ToWorker { said_ms: 0, frame: Some(Frame::Beat(MainBeat {})) }));
    }

    /// The worker said something.
    pub(crate) fn heard(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(now, Ordering::Relaxed);
    }

    /// How long ago the worker was heard of.
    pub(crate) fn silent_for(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.heard_ms.load(Ordering::Relaxed)))
    }

    /// The worker lives, and its memory of documents is like this.
    pub(crate) fn set_beat(&self, beat: &WorkerBeat) {
        *self.cache.lock().unwrap_or_else(PoisonError::into_inner) = CacheStats {
            hits: beat.cache_hits,
            misses: beat.cache_misses,
            evictions: beat.cache_evictions,
            entries: beat.cache_entries,
            bytes: beat.cache_bytes,
        };
    }

    /// What its memory of documents did, as it said last.
    pub(crate) fn cache(&self) -> CacheStats {
        *self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> State {
        self.lane().state
    }

    /// How many tasks it has.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How many frames wait for its connection.
    pub(crate) fn queued(&self) -> usize {
        self.queue.max_capacity().saturating_sub(self.queue.capacity())
    }

    /// Whether a token is the one that the worker goes on with.
    pub(crate) fn holds(&self, token: &TokenDigest) -> bool {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).0 == *token
    }

    pub(crate) fn renew(&self, token: TokenDigest, expires: Instant) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = (token, expires);
    }

    /// When the worker must have subscribed again.
    pub(crate) fn expires(&self) -> Instant {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Stamps what is about to leave; `None` for a task that nobody waits for any more.
    fn stamp(&self, mut frame: ToWorker) -> Option<ToWorker> {
        if let Some(Frame::Task(task)) = &mut frame.frame {
            let mut lane = self.lane();
            let waiting = lane.waiting.get_mut(&task.id)?;
            let left = waiting.deadline.saturating_duration_since(Instant::now());
            task.timeout_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
            waiting.sent = true;
        }
        frame.said_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(frame)
    }
}

/// What a worker is sent, until its stream is over.
fn outbox(
    session: Arc<Session>,
    frames: mpsc::Receiver<ToWorker>,
) -> impl Stream<Item = Result<ToWorker, Status>> + Send + 'static {
    futures::stream::unfold((session, frames), |(session, mut frames)| async move {
        loop {
            let frame = tokio::select! {
                biased;
                () = session.ended.cancelled() => return None,
                frame = frames.recv() => frame?,
            };
            if let Some(frame) = session.stamp(frame) {
                return Some((Ok(frame), (session, frames)));
            }
        }
    })
}

/// A task's place, which is free again when nobody waits for it, however that came.
struct Place<'a> {
    session: &'a Session,
    id: u64,
}

impl<'a> Place<'a> {
    fn take(session: &'a Session, id: u64) -> Self {
        session.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { session, id }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.session.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.session.lane().waiting.remove(&self.id);
    }
}
