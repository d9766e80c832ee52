//! Group commit: a thread takes every write that waits, and does their steps together.
//!
//! It never waits for company: a write that comes alone is written alone, and whatever comes meanwhile shares the next group.
//! Nor does it wait for another process: a stripe that is taken goes to a thread of its own (`contended.rs`). There are a few
//! such threads, each with stripes of its own, so that one prepares files while another waits for the disk. The surprise: a
//! lone write on a quick disk is written where it was called, because two changes of thread cost it a fifth of its time.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use delta_core::storage::{Expect, ObjectName};
use delta_core::{Error, Result};
use tokio::sync::{Semaphore, oneshot};

use crate::config::Config;
use crate::contended::Contended;
use crate::failure::{again, failed};
use crate::group::Writer;
use crate::layout::Place;
use crate::queue::{Change, Demand, Queue};
use crate::stripes::{Held, Stripe, Stripes};

/// How many groups are written at the same time.
const LANES: usize = 2;
/// How long a write may have taken for the next one to be done where it is called: as long as an async thread may be blocked
/// without harm to the others.
const INLINE_COMMIT_MAX: Duration = Duration::from_millis(1);
/// Why no more writes are taken after a commit panicked.
const CUT_SHORT: &str = "a commit was cut short";

/// The waiting side.
#[derive(Debug)]
pub(crate) struct Committer {
    worker: Arc<Worker>,
    /// How many async threads may be blocked.
    inline: Arc<Semaphore>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The working side.
#[derive(Debug)]
pub(crate) struct Worker {
    lanes: [Lane; LANES],
    pub(crate) writer: Writer,
    stripes: Stripes,
    pub(crate) contended: Contended,
}

/// The writes of a part of all stripes.
#[derive(Debug)]
struct Lane {
    /// What waits for its thread.
    queue: Queue,
    /// Held while its writes are done: whether the last group was of one write and quick, so that the next may be as well.
    is_calm: Mutex<bool>,
}

impl Committer {
    /// Starts the threads. `inline` has a permit for each async thread that may be blocked.
    pub(crate) fn start(writer: Writer, config: &Config, inline: Arc<Semaphore>) -> Result<Self> {
        let stripes = Stripes::new(writer.layout.locks());
        let lanes = std::array::from_fn(|_| Lane { queue: Queue::new(config, LANES), is_calm: Mutex::new(false) });
        let worker = Arc::new(Worker { lanes, writer, stripes, contended: Contended::default() });
        let committer = Self { worker, inline, threads: Mutex::default() };
        for lane in 0..LANES {
            let working = committer.worker.clone();
            let started = std::thread::Builder::new().name("commit".into()).spawn(move || working.run(lane));
            let thread =
                started.map_err(|error| Error::unavailable("cannot start a commit thread").with_source(error))?;
            committer.threads().push(thread);
        }
        Ok(committer)
    }

    /// Writes, and answers once that is durable. Given up while it waits, it is done all the same.
    pub(crate) async fn one(&self, name: &ObjectName, change: Change, expect: &Expect) -> Result<()> {
        self.ready()?;
        let (place, stripe) = (self.worker.writer.layout.place(name)?, Stripe::of(name));
        let (answer, answered) = oneshot::channel();
        let demand = Demand { place, stripe, change, expect: expect.clone(), answer };
        let lane = self.worker.lanes.get(stripe.part_of(LANES));
        let lane = lane.ok_or_else(|| Error::internal("a stripe has no lane"))?;
        if let Some(demand) = self.write_here(lane, demand)
            && let Err((error, _)) = lane.queue.push(vec![demand])
        {
            return Err(error);
        }
        answered.await.unwrap_or_else(|_| Err(self.cut_short()))
    }

    /// Does a write that is alone; gives it back if it is not, if the disk is slow, or if no thread is to spare.
    fn write_here(&self, lane: &Lane, demand: Demand) -> Option<Demand> {
        let Ok(_permit) = self.inline.try_acquire() else { return Some(demand) };
        let Ok(mut is_calm) = lane.is_calm.try_lock() else { return Some(demand) };
        if !*is_calm || !lane.queue.is_idle() {
            return Some(demand);
        }
        let begun = Instant::now();
        self.worker.commit(vec![demand]);
        *is_calm = begun.elapsed() < INLINE_COMMIT_MAX;
        None
    }

    /// Writes several, each for itself, and answers in order.
    pub(crate) async fn all(&self, writes: Vec<(ObjectName, Change, Expect)>) -> Result<Vec<Result<()>>> {
        self.ready()?;
        let mut answers = Vec::with_capacity(writes.len());
        let mut lanes: [Vec<Demand>; LANES] = Default::default();
        for (name, change, expect) in writes {
            let (answer, answered) = oneshot::channel();
            answers.push(answered);
            let stripe = Stripe::of(&name);
            match (self.worker.writer.layout.place(&name), lanes.get_mut(stripe.part_of(LANES))) {
                (Ok(place), Some(lane)) => lane.push(Demand { place, stripe, change, expect, answer }),
                (Err(error), _) => drop(answer.send(Err(error))),
                (_, None) => return Err(Error::internal("a stripe has no lane")),
            }
        }
        for (lane, demands) in self.worker.lanes.iter().zip(lanes) {
            if let Err((error, demands)) = lane.queue.push(demands) {
                refuse(demands, &error);
            }
        }
        let mut came_to = Vec::with_capacity(answers.len());
        for answered in answers {
            came_to.push(answered.await.unwrap_or_else(|_| Err(self.cut_short())));
        }
        Ok(came_to)
    }

    /// The answer to a write whose commit ended without one: whoever hears it finds that no more writes are taken.
    fn cut_short(&self) -> Error {
        if self.ready().is_ok() {
            self.worker.fail(CUT_SHORT);
        }
        Error::outcome_unknown(format!("{CUT_SHORT}; read before repeating the write, after a restart"))
    }

    /// What writing needs.
    pub(crate) fn writer(&self) -> &Writer {
        &self.worker.writer
    }

    /// Whether writes are taken; the error says why not.
    pub(crate) fn ready(&self) -> Result<()> {
        self.worker.lanes.iter().try_for_each(|lane| lane.queue.accepts())
    }

    /// Takes no more writes, ends those that wait, and stops the threads. Blocks for as long as that takes.
    pub(crate) fn close(&self) {
        self.worker.lanes.iter().for_each(|lane| lane.queue.close());
        let threads = std::mem::take(&mut *self.threads());
        // A thread panics only after it has dropped, and so answered, what it had taken.
        threads.into_iter().for_each(|thread| drop(thread.join()));
        self.worker.contended.close();
        self.worker.writer.sidecars.close();
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Worker {
    /// Does what comes into one lane until it is closed.
    fn run(self: &Arc<Self>, lane: usize) {
        let Some(lane) = self.lanes.get(lane) else { return };
        loop {
            let taken = lane.queue.take();
            if taken.is_empty() {
                return;
            }
            let mut is_calm = lane.is_calm.lock().unwrap_or_else(PoisonError::into_inner);
            let (begun, is_alone) = (Instant::now(), taken.len() == 1);
            self.commit(taken);
            *is_calm = is_alone && begun.elapsed() < INLINE_COMMIT_MAX;
        }
    }

    /// Takes no more writes, of any lane.
    fn fail(&self, why: &str) {
        tracing::error!(%why, "the disk failed; nothing is written any more");
        self.lanes.iter().for_each(|lane| lane.queue.fail(why));
    }

    /// Does writes in rounds, so that of several writes to one object each sees the one before.
    fn commit(self: &Arc<Self>, mut demands: Vec<Demand>) {
        while !demands.is_empty() {
            let (now, later) = first_of_each(demands);
            self.round(now);
            demands = later;
        }
    }

    /// Does writes of different objects: together those whose stripes are free, the others when they become so.
    fn round(self: &Arc<Self>, demands: Vec<Demand>) {
        let mut stripes: BTreeMap<Stripe, Vec<Demand>> = BTreeMap::new();
        for demand in demands {
            stripes.entry(demand.stripe).or_default().push(demand);
        }
        let (mut held, mut mine) = (Vec::with_capacity(stripes.len()), Vec::new());
        for (stripe, demands) in stripes {
            match self.stripes.try_take(stripe) {
                Ok(Some(taken)) => {
                    held.push(taken);
                    mine.extend(demands);
                }
                Ok(None) => self.contended.hand_over(self, stripe, demands),
                Err(error) => refuse(demands, &failed("take a lock in", &self.writer.layout.locks(), error)),
            }
        }
        self.write(mine, &held);
    }

    /// Waits for a stripe, and does the writes under it that have come together by then. Blocks.
    pub(crate) fn when_free(&self, stripe: Stripe, take: impl FnOnce() -> Vec<Demand>) {
        match self.stripes.take(stripe) {
            Ok(held) => {
                let mut demands = take();
                while !demands.is_empty() {
                    let (now, later) = first_of_each(demands);
                    self.write(now, std::slice::from_ref(&held));
                    demands = later;
                }
            }
            Err(error) => refuse(take(), &failed("take a lock in", &self.writer.layout.locks(), error)),
        }
    }

    fn write(&self, demands: Vec<Demand>, held: &[Held]) {
        if let Err(error) = self.lanes.iter().try_for_each(|lane| lane.queue.has_failed()) {
            return refuse(demands, &error);
        }
        if let Err(why) = self.writer.write(demands, held) {
            self.fail(&why);
        }
    }
}

fn refuse(demands: Vec<Demand>, error: &Error) {
    demands.into_iter().for_each(|demand| demand.answer(Err(again(error))));
}

/// The first write to each object, and the others.
fn first_of_each(demands: Vec<Demand>) -> (Vec<Demand>, Vec<Demand>) {
    let mut seen: HashSet<Place> = HashSet::with_capacity(demands.len());
    demands.into_iter().partition(|demand| seen.insert(demand.place.clone()))
}
