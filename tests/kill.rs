//! kill -9 at any instant loses no acknowledged write.

use delta_tests::kill_loop::{Plan, run};
use delta_tests::random::Random;

use crate::support::{PROGRAM, data, directory};

#[test]
fn kill_9_at_any_instant_loses_no_acknowledged_write() {
    let directory = directory();
    let seed = Random::seed();
    println!("to repeat this: cargo run -p delta-tests --bin kill-loop -- --cycles 30 --seed {seed}");
    let plan = Plan { program: PROGRAM.into(), data: data(&directory), cycles: 30, writers: 8, keys: 40, seed };
    let report = run(&plan, |_| {}).unwrap_or_else(|lost| panic!("seed {seed}: {lost}"));
    println!("{report:?}");
    assert_eq!(report.checked, 31 * 8 * 40);
    // One write for each writer and life; a busy machine gets no further before it is killed.
    assert!(report.acknowledged > 30 * 8, "too little was written to mean anything: {report:?}");
    assert!(report.applied + report.not_applied > 30, "it was killed when nothing was in flight: {report:?}");
}
