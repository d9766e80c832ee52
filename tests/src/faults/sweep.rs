//! Many runs of the script, each with another fault: a sample of the points where one can happen, or all of them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::inject::{CALLS, Call, Fault, Point, Seen, run};
use super::ledger::Outcome;
use super::script::{Operation, script};
use crate::random::Random;
use crate::storages::Storage;

/// A thread that makes more calls of one kind in one request is not followed to its end.
const NTH_MAX: u32 = 40;

/// How many writes in one request are synced together, whatever they are called.
const MANY: usize = 8;

/// What to do.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// The program to start as `serve`.
    pub program: PathBuf,
    /// What it stores on.
    pub storage: Storage,
    /// How many runs happen at the same time.
    pub jobs: usize,
    /// Every so manyth operation of the script, each with every call and every fault.
    pub every: usize,
    /// Which of them is the first.
    pub first: usize,
    /// Whether each run goes on with the fault to the end of the script.
    pub stay: bool,
}

/// What happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Runs in all.
    pub runs: usize,
    /// Runs in which a fault happened.
    pub hits: usize,
    /// Of those, in how many the operation was acknowledged, refused, done in part, or of unknown outcome.
    pub outcomes: [usize; 4],
    /// The kinds of calls that were hit.
    pub calls: Vec<&'static str>,
}

impl Report {
    /// Counts one run.
    pub fn note(&mut self, point: Point, seen: Seen) {
        self.runs += 1;
        if seen.hit {
            self.hits += 1;
            let kinds = [Outcome::Done, Outcome::Refused, Outcome::Partly, Outcome::Unknown];
            for (count, _) in self.outcomes.iter_mut().zip(kinds).filter(|(_, kind)| *kind == seen.outcome) {
                *count += 1;
            }
            if !self.calls.contains(&point.call.name) {
                self.calls.push(point.call.name);
            }
        }
    }
}

/// Runs every point; the error says which promises were broken, and where.
pub fn sweep(plan: &Sweep, progress: impl Fn(&Report, Point, Option<&str>) + Sync) -> Result<Report, String> {
    let columns: Vec<(usize, Call)> = (plan.first..script().len())
        .step_by(plan.every.max(1))
        .flat_map(|operation| CALLS.map(|call| (operation, call)))
        .collect();
    let next = AtomicUsize::new(0);
    let report = Mutex::new((Report::default(), Vec::new()));
    let one = |point: Point| {
        let seen = run(&plan.program, plan.storage, point);
        let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
        match seen {
            Ok(seen) => {
                report.0.note(point, seen);
                progress(&report.0, point, None);
                seen.hit
            }
            Err(wrong) => {
                progress(&report.0, point, Some(&wrong));
                report.1.push(format!("{point}: {wrong}"));
                true
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..plan.jobs {
            scope.spawn(|| {
                while let Some((operation, call)) = columns.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
                    let point = |nth, fault| Point { operation, call, nth, fault, stay: plan.stay };
                    for nth in 1..=NTH_MAX {
                        // A call that cannot fail cannot be the last one either.
                        if !one(point(nth, Fault::Eio)) {
                            break;
                        }
                        one(point(nth, Fault::Kill));
                        one(point(nth, Fault::Enospc));
                    }
                }
            });
        }
    });
    let (report, broken) = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    if broken.is_empty() { Ok(report) } else { Err(broken.join("\n")) }
}

/// A point at random for a call and a fault: one of the operations that make such a call, most of the time.
pub fn point(random: &mut Random, call: Call, fault: Fault) -> Point {
    let makes = |operation: &Operation| match call.name {
        "unlink" => operation.changes() && operation.after.iter().any(|(_, after)| after.is_none()),
        "syncfs" => operation.after.len() >= MANY,
        _ => operation.after.iter().any(|(_, after)| after.is_some()),
    };
    let script = script();
    // Directories are made in the beginning.
    let among = if call.name == "mkdir" { script.len() / 2 } else { script.len() };
    let operations: Vec<usize> = (0..among).filter(|at| script.get(*at).is_some_and(makes)).collect();
    let operation = operations.get(random.index(operations.len())).copied().unwrap_or_default();
    Point { operation, call, nth: 1, fault, stay: random.below(4) == 0 }
}
