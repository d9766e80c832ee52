//! Runs over processes: with trouble nothing is wrong, and where memory is served unasked it is noticed.

use std::time::Duration;

use delta_tests::linear::{Befell, Failure, Plan, Report, Staff, run};

use crate::support::PROGRAM;

/// How long clients ask in the default tests; `cargo run -p delta-tests --bin linear` takes longer.
const TIME: Duration = Duration::from_secs(12);
/// How often a run that proves nothing, on a machine that is busy with something else, is made again.
const ATTEMPTS_MAX: usize = 3;

/// Runs it; again if that was void.
fn attempt(plan: &Plan) -> Result<Report, Failure> {
    for _ in 1..ATTEMPTS_MAX {
        match run(plan) {
            Err(Failure::Void(why)) => println!("seed {}: {why}", plan.seed),
            result => return result,
        }
    }
    run(plan)
}

#[track_caller]
fn is_linearizable(plan: &Plan) -> Report {
    let report = attempt(plan).unwrap_or_else(|failure| panic!("seed {}: {failure}", plan.seed));
    println!("seed {}: {report}", plan.seed);
    report
}

#[test]
fn what_clients_of_one_main_see_is_linearizable_whatever_fails() {
    let report = is_linearizable(&Plan::new(PROGRAM, 1, TIME));
    assert!(report.befell != Befell::default() && report.unknown > 0, "nothing was ever in doubt: {report}");
}

#[test]
fn what_clients_of_two_mains_see_is_linearizable_whatever_fails() {
    let report = is_linearizable(&Plan { staff: Staff::Shared, ..Plan::new(PROGRAM, 2, TIME) });
    assert!(report.befell != Befell::default() && report.unknown > 0, "nothing was ever in doubt: {report}");
}

/// The same run, but workers serve what they remember without asking the storage.
#[track_caller]
fn is_noticed(plan: &Plan, attempts: u64) {
    let mut plan = Plan { worker_arguments: vec!["--cache-max-stale=1h".into()], ..plan.clone() };
    for _ in 0..attempts {
        match run(&plan) {
            Err(Failure::NotLinearizable(wrong)) => return println!("as it must be: {}", wrong[0]),
            other => println!("seed {}: it was not noticed: {other:?}", plan.seed),
        }
        plan.seed += 1;
    }
    panic!("it was not noticed in {attempts} runs");
}

#[test]
fn where_two_mains_serve_memory_unasked_that_is_noticed() {
    let calm = Plan { is_troubled: false, ..Plan::new(PROGRAM, 2, Duration::from_secs(2)) };
    is_linearizable(&calm);
    is_noticed(&calm, 1);
}

/// With one main that takes workers that come back with what they remember, so the trouble is the right one.
#[test]
fn where_workers_come_back_and_serve_memory_unasked_that_is_noticed() {
    is_noticed(&Plan::new(PROGRAM, 1, Duration::from_secs(6)), 5);
}
