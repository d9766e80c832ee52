//! Calls that fail, and processes that end at one.

use std::ffi::OsString;

use delta_tests::faults::attach::{Attached, cannot_trace};
use delta_tests::faults::inject::{CALLS, Fault, run};
use delta_tests::faults::sweep::{Report, point};
use delta_tests::http::Request;
use delta_tests::random::Random;
use delta_tests::storages::Storage;

use super::STORAGES;
use crate::support::{PROGRAM, data, directory, skipped};

/// How many operations are tried for one fault at one call.
const TRIES_MAX: usize = 8;

#[track_caller]
fn some_calls_fail(storage: Storage, calls: &[&str]) {
    if let Some(why) = cannot_trace() {
        return skipped(&why);
    }
    let seed = Random::seed();
    println!("seed {seed}; all of them: cargo run -p delta-tests --bin faults -- calls --storage {}", storage.name());
    let (mut random, mut report) = (Random::new(seed), Report::default());
    for call in CALLS.into_iter().filter(|call| calls.contains(&call.name)) {
        for fault in Fault::ALL {
            // Not every operation makes every call.
            let hit = (0..TRIES_MAX).any(|_| {
                let point = point(&mut random, call, fault);
                let seen = run(PROGRAM.as_ref(), storage, point);
                let seen = seen.unwrap_or_else(|wrong| panic!("seed {seed}, {point}: {wrong}"));
                report.note(point, seen);
                seen.hit
            });
            assert!(hit, "seed {seed}: {fault:?} never happened at {}: {report:?}", call.name);
        }
    }
    println!("{report:?}");
}

#[test]
fn a_call_that_fails_makes_no_answer_untrue_on_embedded() {
    some_calls_fail(Storage::Embedded, &["write", "fdatasync"]);
}

#[test]
fn a_call_that_fails_makes_no_answer_untrue_on_fs() {
    some_calls_fail(Storage::Fs, &["write", "fdatasync", "fsync", "syncfs", "rename", "unlink", "mkdir", "openat"]);
}

/// A PUT whose outcome is unknown may not be seen and there after a restart, and a DELETE may be seen and undone.
#[test]
fn a_delete_of_what_may_come_back_is_not_acknowledged() {
    if let Some(why) = cannot_trace() {
        return skipped(&why);
    }
    for storage in STORAGES {
        for first in [Request::new("PUT", "/entity/db/new").body("1"), Request::new("DELETE", "/entity/db/old")] {
            let directory = directory();
            let start = storage.serve(PROGRAM, &data(&directory));
            let server = start.up();
            let mut client = server.admin();
            client.put("/entity/db/old", "1").expect(201);
            let fault = ["-e", "inject=fdatasync,fsync,syncfs:error=EIO"].map(OsString::from);
            let attached = Attached::to(server.id(), &fault, &directory.path().join("trace")).unwrap();
            let (answer, again) = (client.send(&first), client.delete(first.target()));
            drop(attached.detach());
            let unknown = answer.json()["error"] == "outcome_unknown";
            assert_eq!(answer.status, 503, "{storage:?}: {answer:?}");
            assert!(again.status == 503 || !unknown, "{storage:?}: {answer:?}, {again:?}");
            // What a failed sync has left nobody knows, and the next one may hide it.
            let later = client.put("/entity/db/later", "1").expect(503);
            assert!(later.text().contains("restart"), "{storage:?}: {later:?}");
            client.get("/entity/db/later").expect(404);
            drop(server.kill());
            let found = start.up().admin().get(first.target()).status;
            assert!(found == 404 || again.status == 503, "{storage:?}: acknowledged and undone: {again:?}");
        }
    }
}
