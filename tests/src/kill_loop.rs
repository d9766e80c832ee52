//! The kill -9 loop: writers write, the server is killed or its disk loses power in the middle, and after a restart every
//! key is checked.
//!
//! Each key belongs to one writer, so what may be stored is known exactly: what was acknowledged last, or what the one
//! request in flight would have made of it. A map is one request: all of it happened or none, on a storage that promises so.

mod writer;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::writer::{Stored, Writer};
use crate::http::Client;
use crate::mounts::{Cut, Disk};
use crate::random::Random;
use crate::server::Server;
use crate::start::{ADMIN_KEY, Start};
use crate::storages::Storage;

/// How many writes are acknowledged at most before the server is killed.
const WRITES_MAX: u64 = 60;
/// How long after that it is killed at most.
const LATER_MILLIS: u64 = 20;
/// How long a life is at most, on a machine that is busy with something else.
const LIFE_MAX: Duration = Duration::from_secs(20);

/// What to do.
#[derive(Debug)]
pub struct Plan {
    /// The program to start as `serve`.
    pub program: PathBuf,
    /// The data directory.
    pub data: PathBuf,
    /// What it stores on.
    pub storage: Storage,
    /// What ends each life of the server.
    pub crash: Crash,
    /// Variables that it is started with besides.
    pub variables: Vec<(&'static str, String)>,
    /// How often the server is killed.
    pub cycles: u32,
    /// How many clients write at the same time.
    pub writers: usize,
    /// How many keys each of them has.
    pub keys: usize,
    /// Where the random numbers start.
    pub seed: u64,
}

/// What happened.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How often the server was killed.
    pub cycles: u32,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Requests without an answer that had happened nevertheless.
    pub applied: u64,
    /// Requests without an answer that had not happened.
    pub not_applied: u64,
    /// Keys that were checked after a restart.
    pub checked: u64,
    /// The longest restart.
    pub restart_max: Duration,
}

/// What ends a life of the server.
#[derive(Debug)]
pub enum Crash {
    /// SIGKILL.
    Kill,
    /// The disk that the data lies on loses power; the server answers what it can, and is killed.
    PowerCut(Disk),
}

impl Crash {
    /// Happens, and ends the server.
    fn happen(&self, server: Server, random: &mut Random) -> Result<(), String> {
        let cut = if random.below(2) == 0 { Cut::Hard } else { Cut::Noted };
        let happened = match self {
            Self::Kill => Ok(()),
            Self::PowerCut(disk) => disk.cut(cut),
        };
        server.kill();
        happened
    }

    /// Puts things in order for the next life.
    fn repair(&mut self) -> Result<(), String> {
        match self {
            Self::Kill => Ok(()),
            Self::PowerCut(disk) => disk.restore(),
        }
    }
}

/// Runs the loop; an error says what was lost, and how to see it again.
pub fn run(plan: &mut Plan, mut progress: impl FnMut(&Report)) -> Result<Report, String> {
    let start = plan.storage.serve(&plan.program, &plan.data);
    let start = plan.variables.iter().fold(start, |start, (name, value)| start.variable(name, value));
    let mut random = Random::new(plan.seed);
    let mut report = Report::default();
    let mut writers: Vec<_> = (0..plan.writers).map(|number| Writer::new(number, plan, random.next())).collect();
    for _ in 0..plan.cycles {
        let server = restart(&start, &mut report)?;
        check(server.address(), &mut writers, &mut report)?;
        let (enough, later) = (1 + random.below(WRITES_MAX), random.below(LATER_MILLIS));
        let acknowledged = AtomicU64::new(0);
        let begin = Barrier::new(plan.writers + 1);
        thread::scope(|scope| {
            let (begin, address, acknowledged) = (&begin, server.address(), &acknowledged);
            let load = writers.iter_mut().map(|writer| scope.spawn(move || writer.write(address, begin, acknowledged)));
            let load: Vec<_> = load.collect();
            begin.wait();
            let begun = Instant::now();
            while acknowledged.load(Ordering::Relaxed) < enough && begun.elapsed() < LIFE_MAX {
                thread::sleep(Duration::from_millis(1));
            }
            // Not a wait for something: the instant of the crash.
            thread::sleep(Duration::from_millis(later));
            let happened = plan.crash.happen(server, &mut random);
            load.into_iter().try_for_each(|writer| writer.join().expect("a writer")).and(happened)
        })?;
        plan.crash.repair()?;
        report.cycles += 1;
        report.acknowledged += writers.iter_mut().map(|writer| std::mem::take(&mut writer.acknowledged)).sum::<u64>();
        progress(&report);
    }
    let server = restart(&start, &mut report)?;
    check(server.address(), &mut writers, &mut report)?;
    server.stop();
    Ok(report)
}

fn restart(start: &Start, report: &mut Report) -> Result<crate::server::Server, String> {
    let begun = Instant::now();
    let server = start.try_up().map_err(|ended| format!("no restart after kill {}: {ended:?}", report.cycles))?;
    report.restart_max = report.restart_max.max(begun.elapsed());
    Ok(server)
}

/// Compares every key of every writer with what is stored.
fn check(address: SocketAddr, writers: &mut [Writer], report: &mut Report) -> Result<(), String> {
    let mut client = Client::new(address).bearer(ADMIN_KEY);
    for writer in writers {
        let found: Vec<Stored> =
            (0..writer.stored.len()).map(|at| writer.read(&mut client, at)).collect::<Result<_, _>>()?;
        report.checked += found.len() as u64;
        let unanswered = !writer.in_flight.is_empty();
        match writer.explain(&found)? {
            true if unanswered => report.applied += 1,
            false if unanswered => report.not_applied += 1,
            _ => {}
        }
        writer.stored = found;
        writer.in_flight.clear();
    }
    Ok(())
}
