//! kill -9 at any instant loses no acknowledged write.

use delta_tests::kill_loop::{Crash, Plan, run};
use delta_tests::random::Random;
use delta_tests::storages::Storage;

use crate::support::{PROGRAM, data, directory};

#[track_caller]
fn loses_nothing(storage: Storage, cycles: u32) {
    let directory = directory();
    let (seed, name) = (Random::seed(), storage.name());
    println!(
        "to repeat this: cargo run -p delta-tests --bin kill-loop -- --storage {name} --cycles {cycles} --seed {seed}"
    );
    let mut plan = Plan {
        program: PROGRAM.into(),
        data: data(&directory),
        storage,
        crash: Crash::Kill,
        variables: Vec::new(),
        cycles,
        writers: 8,
        keys: 40,
        seed,
    };
    let report = run(&mut plan, |_| {}).unwrap_or_else(|lost| panic!("seed {seed}: {lost}"));
    println!("{report:?}");
    let cycles = u64::from(cycles);
    assert_eq!(report.checked, (cycles + 1) * 8 * 40);
    assert!(report.acknowledged >= cycles, "too little was written to mean anything: {report:?}");
    assert!(report.applied + report.not_applied >= cycles, "it was killed when nothing was in flight: {report:?}");
}

#[test]
fn kill_9_at_any_instant_loses_no_acknowledged_write() {
    loses_nothing(Storage::Embedded, 30);
}

#[test]
fn kill_9_at_any_instant_loses_no_acknowledged_write_on_fs() {
    loses_nothing(Storage::Fs, 20);
}
