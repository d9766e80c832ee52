//! A main and its workers as processes, over one directory.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::leaks;
use crate::server::{DEADLINE, Ended, Output, Server, address, end, wait};
use crate::start::Start;

/// What the workers here show to take part.
pub const JOIN_TOKEN: &str = "a-join-token-of-the-tests";

/// Where a cluster's processes find each other and their store.
#[derive(Debug, Clone)]
pub struct Place {
    program: PathBuf,
    directory: PathBuf,
}

impl Place {
    /// A cluster whose store and token lie in a directory.
    pub fn new(program: &str, directory: &Path) -> Self {
        fs::write(directory.join("join.token"), format!("{JOIN_TOKEN}\n")).expect("a directory");
        Self { program: program.into(), directory: directory.into() }
    }

    /// The directory of the store.
    pub fn store(&self) -> PathBuf {
        self.directory.join("db")
    }

    /// The file with the join token.
    pub fn token(&self) -> PathBuf {
        self.directory.join("join.token")
    }

    /// How its main is started.
    pub fn main(&self) -> Start {
        self.main_without_token().arg("--join-token-file").arg(self.token())
    }

    /// How its main is started where something else is to let workers in.
    pub fn main_without_token(&self) -> Start {
        let start = Start::serve(&self.program, &self.directory.join("main"));
        let program = start.program().to_path_buf();
        start.line(&program.to_string_lossy(), &["main"]).arg("--shared-fs").arg(self.store())
    }

    /// How a worker of a main is started.
    pub fn worker(&self, id: &str, main: SocketAddr) -> Start {
        self.worker_without_token(id, &main.to_string()).arg("--join-token-file").arg(self.token())
    }

    /// How a worker is started that is to be let in by something else.
    pub fn worker_without_token(&self, id: &str, main: &str) -> Start {
        let start = Start::bare(&self.program, &["worker", "--worker-id", id, "--main-addr", main]);
        start.arg("--shared-fs").arg(self.store())
    }
}

/// A running worker; dropping it kills it.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    output: Output,
    secrets: BTreeSet<String>,
    /// Where its main listens for REST: what clients told it there, the worker must not print either.
    main: SocketAddr,
}

impl Worker {
    /// Starts one and waits until its main has it; fails if it ends instead.
    #[track_caller]
    pub fn up(start: &Start, main: &Server) -> Self {
        let worker = Self::spawn(start, main.address());
        worker.unwrap_or_else(|ended| panic!("the worker did not begin: {ended:?}"))
    }

    /// The same of a main that listens there for REST; an error says how it ended.
    pub fn spawn(start: &Start, main: SocketAddr) -> Result<Self, Ended> {
        let mut child = start.logging().spawn().expect("the program starts");
        let (lines, printed) = mpsc::channel();
        let output = Output::default();
        output.follow(child.stdout.take().expect("piped"), Some(lines));
        output.follow(child.stderr.take().expect("piped"), None);
        let until = Instant::now() + DEADLINE;
        loop {
            match printed.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.starts_with("Worker:") => break,
                Ok(_) => {}
                Err(_) => {
                    let ended = Ended { status: end(&mut child), output: output.text() };
                    leaks::none_in_worker(&ended.output, &start.secrets(), main);
                    return Err(ended);
                }
            }
        }
        Ok(Self { child, output, secrets: start.secrets(), main })
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        self.output.so_far()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it says how it is, and nothing else, by gRPC.
    #[track_caller]
    pub fn health_address(&self) -> SocketAddr {
        self.address("Health:")
    }

    /// Where it serves metrics.
    #[track_caller]
    pub fn metrics_address(&self) -> SocketAddr {
        self.address("Metrics:")
    }

    /// An address on a line that was printed before it began.
    #[track_caller]
    fn address(&self, name: &str) -> SocketAddr {
        let output = self.output();
        output.lines().find_map(|line| address(line, name)).unwrap_or_else(|| panic!("no line {name} in {output}"))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child of ours");
    }

    /// Stops it where it stands, until [`Worker::wake`].
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn wake(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(mut self) -> Ended {
        let status = end(&mut self.child);
        self.ended_with(status)
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(mut self) -> Ended {
        self.signal(Signal::TERM);
        let status = wait(&mut self.child, DEADLINE);
        let status = status.unwrap_or_else(|| panic!("the worker did not end: {}", self.output.so_far()));
        self.ended_with(status)
    }

    fn ended_with(&self, status: std::process::ExitStatus) -> Ended {
        let output = self.output.text();
        leaks::none_in_worker(&output, &self.secrets, self.main);
        Ended { status, output }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let status = end(&mut self.child);
        if !std::thread::panicking() {
            self.ended_with(status);
        }
    }
}

/// Asks again until it is so; fails when it is not after a while.
#[track_caller]
pub fn eventually(what: &str, most: Duration, mut so: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < most, "not within {most:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    began.elapsed()
}
