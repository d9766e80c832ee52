//! A directory that processes share: what the storage `fs` promises to clients of one process, and of many.

mod coherence;
mod counting;
mod layout;
mod quick_start;
mod templates;

use delta_tests::server::Server;
use delta_tests::start::Start;
use tempfile::TempDir;

use crate::support::{directory, serve};

/// How a process serves the directory of a test alone.
fn alone(directory: &TempDir) -> Start {
    serve(directory).arg("--shared-fs").arg(directory.path().join("db"))
}

/// How one of many serves it.
fn beside_others(directory: &TempDir) -> Start {
    alone(directory).arg("--multi-main")
}

/// Two processes over one directory.
fn two() -> (TempDir, Server, Server) {
    let directory = directory();
    let [a, b] = [(); 2].map(|()| beside_others(&directory).up());
    (directory, a, b)
}
