//! Calls that fail, and processes that end at one.

use std::ffi::OsString;

use delta_tests::faults::attach::{Attached, cannot_trace};
use delta_tests::faults::inject::run;
use delta_tests::faults::sweep::{Report, sample};
use delta_tests::random::Random;
use delta_tests::storages::Storage;

use super::STORAGES;
use crate::support::{PROGRAM, data, directory, skipped};

/// How many faults of each kind of call are tried.
const EACH: usize = 6;

#[track_caller]
fn some_calls_fail(storage: Storage, calls: &[&str]) {
    if let Some(why) = cannot_trace() {
        return skipped(&why);
    }
    let seed = Random::seed();
    println!("seed {seed}; all of them: cargo run -p delta-tests --bin faults -- calls --storage {}", storage.name());
    let mut report = Report::default();
    for point in sample(&mut Random::new(seed), calls, EACH) {
        let seen =
            run(PROGRAM.as_ref(), storage, point).unwrap_or_else(|wrong| panic!("seed {seed}, {point}: {wrong}"));
        report.note(point, seen);
    }
    println!("{report:?}");
    let missing: Vec<_> = calls.iter().filter(|call| !report.calls.contains(call)).collect();
    assert!(missing.is_empty(), "no fault happened at {missing:?}: {report:?}");
}

#[test]
fn a_call_that_fails_makes_no_answer_untrue_on_embedded() {
    some_calls_fail(Storage::Embedded, &["write", "fdatasync"]);
}

/// A PUT whose outcome is unknown cannot be seen, and may be there after a restart.
#[test]
fn a_delete_of_what_may_come_back_is_not_acknowledged() {
    if let Some(why) = cannot_trace() {
        return skipped(&why);
    }
    for storage in STORAGES {
        let directory = directory();
        let start = storage.serve(PROGRAM, &data(&directory));
        let server = start.up();
        let mut client = server.admin();
        client.put("/entity/db/before", "1").expect(201);
        let fault = ["-e", "inject=fdatasync,fsync,syncfs:error=EIO"].map(OsString::from);
        let attached = Attached::to(server.id(), &fault, &directory.path().join("trace")).unwrap();
        let first = client.put("/entity/db/k", "1");
        let second = client.delete("/entity/db/k");
        drop(attached.detach());
        assert_eq!((first.status, second.status), (503, 503), "{storage:?}: {first:?} {second:?}");
        let third = client.delete("/entity/db/k");
        drop(server.kill());
        let server = start.up();
        let found = server.admin().get("/entity/db/k").status;
        println!("{storage:?}: {first:?}, {second:?}, {third:?}, {found}");
        assert!(found == 404 || third.status != 200, "{storage:?}: a deletion was acknowledged, and undone: {third:?}");
        server.admin().delete("/entity/db/k").expect(200);
    }
}
