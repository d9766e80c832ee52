//! Linearizability: clients of one or two mains write few entities while workers are killed, stand still and are cut off,
//! and mains are killed; then it is checked that all they were told can be put in one order.
//!
//! What a client cannot know counts as unknown: it may happen at any later time, or never. What was refused or failed must
//! never be seen.

mod checker;
mod client;
mod cluster;
mod facts;
mod history;
mod proxy;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub use checker::check;
pub use cluster::{Befell, Staff};
pub use facts::Violation;
pub use history::{Answer, Call, Operation, Tag, When};
pub use proxy::{Door, Line, Proxy};

use self::client::{Caller, Log, Table};
use self::cluster::{Cluster, Wanted};
use crate::random::Random;

/// A run with fewer answers a second proves nothing.
pub const ANSWERS_A_SECOND_MIN: u64 = 100;
/// How long it may take until everything can be read, once all has been mended.
const RECOVERY_MAX: Duration = Duration::from_secs(60);

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program to start as `main` and `worker`.
    pub program: PathBuf,
    /// How many mains share the store.
    pub mains: usize,
    /// How many workers each has, or all together.
    pub workers: usize,
    /// Whose they are.
    pub staff: Staff,
    /// What workers are told besides.
    pub worker_arguments: Vec<String>,
    /// Whether anything fails.
    pub is_troubled: bool,
    /// How many clients ask at the same time.
    pub clients: usize,
    /// How many entities they ask about.
    pub keys: usize,
    /// For how long.
    pub time: Duration,
    /// Where the random numbers start.
    pub seed: u64,
}

impl Plan {
    /// A run with trouble: so many mains, each with three workers of its own.
    pub fn new(program: impl Into<PathBuf>, mains: usize, time: Duration) -> Self {
        let (program, worker_arguments, seed) = (program.into(), Vec::new(), Random::seed());
        let (workers, staff, is_troubled, clients, keys) = (3, Staff::Own, true, 12, 5);
        Self { program, mains, workers, staff, worker_arguments, is_troubled, clients, keys, time, seed }
    }
}

/// What happened in a run that is fine.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// For how long clients asked.
    pub time: Duration,
    /// Requests that were answered, refusals included.
    pub answered: u64,
    /// Requests of which nobody knows whether they happened.
    pub unknown: u64,
    /// Of those, the puts that happened nevertheless, as somebody saw later.
    pub happened: u64,
    /// Requests that failed for certain.
    pub failed: u64,
    /// The longest that a client waited for an answer, known or not.
    pub longest: Duration,
    /// What befell the processes.
    pub befell: Befell,
    /// How long the check took.
    pub checked: Duration,
}

impl Report {
    /// Answers a second.
    pub fn rate(&self) -> u64 {
        self.answered * 1_000 / u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, answered, unknown, happened, failed, longest, befell, checked } = self;
        let rate = self.rate();
        write!(f, "{answered} answers in {time:.1?} ({rate} a second), {unknown} unknown, ")?;
        write!(f, "{happened} of them seen to have happened, {failed} failed, ")?;
        write!(f, "none later than {longest:.1?}; ")?;
        let Befell { killed, paused, cut_off, mains_killed } = befell;
        write!(f, "workers killed {killed}, paused {paused}, cut off {cut_off}, mains killed {mains_killed}; ")?;
        write!(f, "checked in {checked:.1?}")
    }
}

/// Why a run is not fine.
#[derive(Debug)]
pub enum Failure {
    /// Clients were told what cannot be true.
    NotLinearizable(Vec<String>),
    /// Nothing was proven.
    Void(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLinearizable(wrong) => write!(f, "not linearizable:\n{}", wrong.join("\n")),
            Self::Void(why) => write!(f, "void: {why}"),
        }
    }
}

/// Runs clients against a cluster of its own, and checks what they were told.
pub fn run(plan: &Plan) -> Result<Report, Failure> {
    let directory = tempfile::tempdir().map_err(|error| Failure::Void(error.to_string()))?;
    let wanted = Wanted {
        program: plan.program.clone(),
        directory: directory.path().into(),
        mains: plan.mains,
        workers: plan.workers,
        staff: plan.staff,
        worker_arguments: plan.worker_arguments.clone(),
    };
    let mut random = Random::new(plan.seed);
    let mut cluster = Cluster::new(&wanted, random.next());
    let table = Table {
        doors: cluster.doors(),
        keys: plan.keys,
        began: Instant::now(),
        value: AtomicU64::new(0),
        answered: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    };
    let (logs, befell, time) = load(plan, &table, &mut cluster, &mut random).map_err(Failure::Void)?;
    drop(cluster);
    let mut report = Report { time, befell, answered: table.answered.load(Ordering::Relaxed), ..Report::default() };
    let mut histories: BTreeMap<usize, Vec<Operation>> = BTreeMap::new();
    for log in logs {
        report.failed += log.failed;
        log.histories.into_iter().for_each(|(key, part)| histories.entry(key).or_default().extend(part));
    }
    let unknown = |part: &Vec<Operation>| part.iter().filter(|one| one.answer == Answer::Unknown).count() as u64;
    report.unknown = histories.values().map(unknown).sum();
    report.happened = histories.values().map(|history| happened(history)).sum();
    let took = histories.values().flatten().map(|one| one.answered.saturating_sub(one.called));
    report.longest = took.max().unwrap_or_default();
    let began = Instant::now();
    let wrong = |(key, history): (&usize, &Vec<Operation>)| Some(format!("key-{key}: {}", check(history).err()?));
    let wrong: Vec<String> = histories.iter().filter_map(wrong).collect();
    report.checked = began.elapsed();
    if !wrong.is_empty() {
        return Err(Failure::NotLinearizable(wrong));
    }
    if report.rate() < ANSWERS_A_SECOND_MIN {
        return Err(Failure::Void(format!("fewer than {ANSWERS_A_SECOND_MIN} answers a second: {report}")));
    }
    Ok(report)
}

/// How many puts of unknown outcome somebody saw.
fn happened(history: &[Operation]) -> u64 {
    let seen = history.iter().filter_map(|one| match one.answer {
        Answer::Found(value, _) => Some(value),
        _ => None,
    });
    let seen: BTreeSet<u64> = seen.collect();
    let is_seen = |one: &&Operation| match (one.call, one.answer) {
        (Call::Put { value, .. }, Answer::Unknown) => seen.contains(&value),
        _ => false,
    };
    history.iter().filter(is_seen).count() as u64
}

/// What clients saw, what befell those they asked, and how long that took; an error is an answer without sense.
fn load(
    plan: &Plan,
    table: &Table,
    cluster: &mut Cluster,
    random: &mut Random,
) -> Result<(Vec<Log>, Befell, Duration), String> {
    let callers = (0..plan.clients).filter_map(|number| Caller::new(table, number, random.next()));
    let callers: Vec<_> = callers.collect();
    let readers =
        (0..plan.mains).filter_map(|main| Caller::new(table, plan.clients.next_multiple_of(plan.mains) + main, 0));
    let readers: Vec<_> = readers.collect();
    thread::scope(|scope| {
        let clients: Vec<_> = callers.into_iter().map(|caller| scope.spawn(move || caller.run())).collect();
        let _stopping = Stopping(&table.stop);
        let until = table.began + plan.time;
        let befell = match plan.is_troubled {
            true => cluster.trouble(until),
            false => {
                thread::sleep(plan.time);
                Befell::default()
            }
        };
        table.stop.store(true, Ordering::Relaxed);
        let join = |client: thread::ScopedJoinHandle<'_, _>| client.join().expect("a client");
        let mut logs = clients.into_iter().map(join).collect::<Result<Vec<_>, String>>()?;
        let time = table.began.elapsed();
        for reader in readers {
            logs.push(reader.read_all(RECOVERY_MAX)?);
        }
        Ok((logs, befell, time))
    })
}

/// Tells the clients to stop, also when something goes wrong here.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
