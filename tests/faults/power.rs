//! A disk that loses its power in the middle of the load.

use delta_tests::kill_loop::{Crash, Plan, Report, run};
use delta_tests::mounts::Disk;
use delta_tests::random::Random;
use delta_tests::storages::Storage;

use super::STORAGES;
use crate::support::{PROGRAM, directory, eatmydata, skipped};

/// Cuts the power so often; `None` where this machine has no disk to do that with.
fn cut(storage: Storage, cycles: u32, variables: Vec<(&'static str, String)>) -> Option<Result<Report, String>> {
    let directory = directory();
    let disk = match Disk::new(directory.path()) {
        Ok(disk) => disk,
        Err(why) => {
            skipped(&format!("it needs root, loop devices and XFS (Debian: apt-get install xfsprogs): {why}"));
            return None;
        }
    };
    let (data, seed, name) = (disk.path().join("data"), Random::seed(), storage.name());
    println!("again: cargo run -p delta-tests --bin faults -- power --storage {name} --cycles {cycles} --seed {seed}");
    let crash = Crash::PowerCut(disk);
    let mut plan =
        Plan { program: PROGRAM.into(), data, storage, crash, variables, cycles, writers: 6, keys: 20, seed };
    Some(run(&mut plan, |_| {}).map_err(|lost| format!("{name}, seed {seed}: {lost}")))
}

#[test]
fn a_power_cut_loses_no_acknowledged_write() {
    for storage in STORAGES {
        let Some(report) = cut(storage, 5, Vec::new()) else { return };
        let report = report.unwrap_or_else(|lost| panic!("{lost}"));
        println!("{storage:?}: {report:?}");
        assert!(report.acknowledged >= 5, "{storage:?}: too little was written: {report:?}");
    }
}

/// The other way round: where syncs do nothing a power cut takes acknowledged writes with it.
#[test]
fn a_power_cut_shows_that_syncs_were_left_out() {
    let library = match eatmydata() {
        Ok(library) => library.to_owned(),
        Err(why) => return skipped(&why),
    };
    for storage in STORAGES {
        let Some(report) = cut(storage, 5, vec![("LD_PRELOAD", library.clone())]) else { return };
        let lost = report.expect_err("nothing was lost");
        println!("{storage:?}: {lost:.300}");
    }
}
