//! Group commit: a thread takes every write that waits, and does their steps together.
//!
//! It never waits for company: a write that comes alone is written alone, and whatever comes meanwhile shares the next group.
//! Nor does it wait for another process: a stripe that is taken goes to a thread of its own (`contended.rs`). There are a few
//! such threads, each with stripes of its own, so that one prepares files while another waits for the disk; and each leaves
//! the last sync of a group to the next one, whose first it is. The surprise: on a quick disk a few writes at a time go round
//! all this (`alone.rs`), and a lone one is written where it was called, because two changes of thread cost it a fifth of its
//! time.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use delta_core::storage::{Expect, ObjectName};
use delta_core::{Error, Result};
use tokio::sync::{Semaphore, oneshot};

use crate::alone::{Alone, Turn};
use crate::config::Config;
use crate::contended::Contended;
use crate::failure::{again, failed, unreadable};
use crate::group::{Group, Writer};
use crate::layout::Place;
use crate::mount;
use crate::queue::{Change, Demand, Queue};
use crate::stripes::{Locks, Stripe, Stripes};

/// How many groups are written at the same time.
const LANES: usize = 2;
/// From how many writes on one sync of the whole file system costs less than to sync each file and directory.
const TOGETHER_FROM: usize = 4;
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
    lanes: Vec<Lane>,
    pub(crate) writer: Writer,
    stripes: Stripes,
    pub(crate) contended: Contended,
    alone: Arc<Alone>,
}

/// The writes of a part of all stripes.
#[derive(Debug)]
struct Lane {
    /// What waits for its thread.
    queue: Queue,
    /// The store's directory where one `syncfs` of its file system is as good as syncing each file. It is opened for each lane,
    /// because each must hear of a failure, and the kernel tells each open file once.
    together: Option<File>,
}

impl Committer {
    /// Starts the threads. `inline` has a permit for each async thread that may be blocked.
    pub(crate) fn start(writer: Writer, config: &Config, inline: Arc<Semaphore>) -> Result<Self> {
        let stripes = Stripes::new(writer.layout.locks());
        let mut lanes = Vec::with_capacity(LANES);
        for _ in 0..LANES {
            let root = writer.layout.root();
            let together = mount::whole_file_system(root).map_err(|error| unreadable(root, error))?;
            lanes.push(Lane { queue: Queue::new(config, LANES), together });
        }
        let alone = Alone::new(lanes.iter().all(|lane| lane.together.is_some()));
        let (contended, alone) = (Contended::default(), Arc::new(alone));
        let worker = Arc::new(Worker { lanes, writer, stripes, contended, alone });
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
        let _counted = self.worker.alone.count();
        match self.worker.alone.begin() {
            Some(turn) => self.write_alone(turn, demand),
            None => {
                let lane = self.worker.lanes.get(stripe.part_of(LANES));
                let lane = lane.ok_or_else(|| Error::internal("a stripe has no lane"))?;
                lane.queue.push(vec![demand]).map_err(|(error, _)| error)?;
            }
        }
        answered.await.unwrap_or_else(|_| Err(self.cut_short()))
    }

    /// Does one write for itself: here if it may and an async thread stays free, else on a thread that may block.
    fn write_alone(&self, turn: Turn, demand: Demand) {
        let (may_block, worker) = (turn.may_block, self.worker.clone());
        let write = move || {
            worker.write_alone(vec![demand]);
            drop(turn);
        };
        match self.inline.try_acquire() {
            Ok(_permit) if may_block => write(),
            _ => drop(tokio::task::spawn_blocking(write)),
        }
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
        self.worker.alone.close();
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
        let (mut visible, mut demands) = (Group::default(), Vec::new());
        loop {
            let others = visible.len() + demands.len();
            demands.extend(if others == 0 { lane.queue.take() } else { lane.queue.take_now(others) });
            if visible.len() + demands.len() == 0 {
                return;
            }
            (visible, demands) = self.turn(lane, visible, demands);
        }
    }

    /// Ends the writes that are visible, and begins others: what is visible then, and what has to come later.
    fn turn(self: &Arc<Self>, lane: &Lane, visible: Group, demands: Vec<Demand>) -> (Group, Vec<Demand>) {
        let (now, later) = first_of_each(demands, &visible);
        let (now, locks) = self.lock(now);
        let now = self.unless_failed(now);
        match &lane.together {
            Some(root) if visible.len() > 0 || now.len() >= TOGETHER_FROM => {
                let (visible, written) = self.writer.write_on(visible, now, locks, root);
                self.note(written);
                (visible, later)
            }
            _ => {
                self.note(self.writer.write(now, &locks));
                (Group::default(), later)
            }
        }
    }

    /// Takes no more writes, of any lane.
    fn fail(&self, why: &str) {
        tracing::error!(%why, "the disk failed; nothing is written any more");
        self.lanes.iter().for_each(|lane| lane.queue.fail(why));
    }

    /// Does writes of different objects for themselves.
    fn write_alone(self: &Arc<Self>, demands: Vec<Demand>) {
        let (demands, locks) = self.lock(demands);
        self.note(self.writer.write(self.unless_failed(demands), &locks));
    }

    /// Takes the stripes of writes: those whose stripes are free, while the others are done when they become so.
    fn lock(self: &Arc<Self>, demands: Vec<Demand>) -> (Vec<Demand>, Locks) {
        let mut stripes: BTreeMap<Stripe, Vec<Demand>> = BTreeMap::new();
        for demand in demands {
            stripes.entry(demand.stripe).or_default().push(demand);
        }
        let (mut locks, mut mine) = (Locks::new(), Vec::new());
        for (stripe, demands) in stripes {
            match self.stripes.try_take(stripe) {
                Ok(Some(held)) => {
                    locks.insert(stripe, held);
                    mine.extend(demands);
                }
                Ok(None) => self.contended.hand_over(self, stripe, demands),
                Err(error) => refuse(demands, &failed("take a lock in", &self.writer.layout.locks(), error)),
            }
        }
        (mine, locks)
    }

    /// Waits for a stripe, and does the writes under it that have come together by then. Blocks.
    pub(crate) fn when_free(&self, stripe: Stripe, take: impl FnOnce() -> Vec<Demand>) {
        match self.stripes.take(stripe) {
            Ok(held) => {
                let (mut demands, locks) = (take(), Locks::from([(stripe, held)]));
                while !demands.is_empty() {
                    let (now, later) = first_of_each(demands, &Group::default());
                    self.note(self.writer.write(self.unless_failed(now), &locks));
                    demands = later;
                }
            }
            Err(error) => refuse(take(), &failed("take a lock in", &self.writer.layout.locks(), error)),
        }
    }

    /// Refuses writes once the disk has failed.
    fn unless_failed(&self, demands: Vec<Demand>) -> Vec<Demand> {
        match self.lanes.iter().try_for_each(|lane| lane.queue.has_failed()) {
            Ok(()) => demands,
            Err(error) => {
                refuse(demands, &error);
                Vec::new()
            }
        }
    }

    /// Takes no more writes once the disk has failed.
    fn note(&self, written: Result<(), String>) {
        if let Err(why) = written {
            self.fail(&why);
        }
    }
}

fn refuse(demands: Vec<Demand>, error: &Error) {
    demands.into_iter().for_each(|demand| demand.answer(Err(again(error))));
}

/// The first write to each object, and the others, with those whose stripe is held for what is visible.
fn first_of_each(demands: Vec<Demand>, visible: &Group) -> (Vec<Demand>, Vec<Demand>) {
    let mut seen: HashSet<Place> = HashSet::with_capacity(demands.len());
    demands.into_iter().partition(|demand| !visible.holds(demand.stripe) && seen.insert(demand.place.clone()))
}
