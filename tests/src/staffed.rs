//! A server that is a main with workers, where a run of the tests asks for it by `DELTA_TESTS_CLUSTER=<workers>`.
//!
//! Every test that starts `deltadb serve` and does not say over which storage then shows that a cluster is like one
//! server. Nothing else about the test changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use tempfile::TempDir;

use crate::cluster::{JOIN_TOKEN, Worker};
use crate::server::{Ended, Server};
use crate::start::Start;

/// How many workers each server has; unset, a server does the work itself.
const VARIABLE: &str = "DELTA_TESTS_CLUSTER";
/// What a worker takes of the arguments that a server is given.
const SHARED_FLAGS: [&str; 11] = [
    "config",
    "shared-fs",
    "sidecar",
    "templates-dir",
    "validator",
    "cache-bytes",
    "cache-size",
    "cache-ttl",
    "cache-max-stale",
    "log-format",
    "otlp-endpoint",
];
/// What a worker must not be told.
const SECRET_VARIABLES: [&str; 3] = ["ADMIN_KEY", "MASTER_KEY", "PREVIOUS_KEY"];
/// What says that a test has chosen the storage, or how the server finds others.
const CHOSEN: [&str; 4] = ["storage", "join-token-file", "tls-cert", "multi-main"];

/// The workers of a server, and what they find it by; dropping it kills them.
#[derive(Debug)]
pub(crate) struct Staff {
    _workers: Vec<Worker>,
    _directory: TempDir,
}

/// Whether the servers of this run are mains with workers.
pub fn is_asked_for() -> bool {
    count().is_some()
}

fn count() -> Option<usize> {
    let given = std::env::var(VARIABLE).ok()?;
    let count = given.parse().unwrap_or_else(|_| panic!("{VARIABLE} is a number of workers, and not {given:?}"));
    (count > 0).then_some(count)
}

/// Starts a server as a main with workers; `None` where it is to do the work itself.
pub(crate) fn up(start: &Start) -> Option<Result<Server, Ended>> {
    let workers = count()?;
    let (role, flags) = start.flags();
    let chosen = flags.iter().any(|(name, _)| CHOSEN.contains(&name.as_str())) || start.has("DELTADB_STORAGE");
    if role != "serve" || chosen {
        return None;
    }
    let directory = tempfile::Builder::new().prefix("deltadb-test-staff-").tempdir().expect("a directory");
    let token = directory.path().join("join.token");
    fs::write(&token, format!("{JOIN_TOKEN}\n")).expect("a directory");
    let main = shared(start).instead_of_first("main").arg("--join-token-file").arg(&token);
    Some(main.alone().map(|mut server| {
        let staff = hire(start, &flags, &token, workers, &server);
        server.take_on(Staff { _workers: staff, _directory: directory });
        server
    }))
}

/// The same over the directory that workers open too.
fn shared(start: &Start) -> Start {
    match start.flags().1.iter().any(|(name, _)| name == "shared-fs") {
        true => start.clone(),
        false => start.clone().variable("DELTADB_SHARED_FS", start.data().join("shared")),
    }
}

fn hire(
    start: &Start,
    flags: &[(String, Option<String>)],
    token: &Path,
    workers: usize,
    server: &Server,
) -> Vec<Worker> {
    let main = server.grpc_address().to_string();
    let one = |n: usize| {
        let id = format!("w{n}");
        let line = ["worker", "--main-addr", &main, "--worker-id", &id];
        let program: PathBuf = start.program().into();
        let worker = SECRET_VARIABLES.iter().fold(shared(start), |start, name| start.without(name));
        let worker = worker.line(&program.to_string_lossy(), &line).arg("--join-token-file").arg(token);
        flags.iter().filter(|(name, _)| SHARED_FLAGS.contains(&name.as_str())).fold(worker, |worker, (name, value)| {
            let value = value.as_deref().map_or_else(String::new, |value| format!("={value}"));
            worker.arg(format!("--{name}{value}"))
        })
    };
    let started: Vec<_> = (1..=workers)
        .map(one)
        .map(|start| {
            let main = server.address();
            thread::spawn(move || Worker::spawn(&start, main))
        })
        .collect();
    started.into_iter().map(|worker| worker.join().expect("no panic").expect("the worker begins")).collect()
}
