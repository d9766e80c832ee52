//! Servers as processes: watched by what they print, and ended by their own process id.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::http::Client;
use crate::leaks;
use crate::staffed::Staff;
use crate::start::ADMIN_KEY;

/// How long a process may take to start or to end.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// How often a process is asked whether it has ended.
const POLL: Duration = Duration::from_millis(2);

/// How a server ended, and all it printed.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// Standard output and standard error.
    pub output: String,
}

/// What a process printed so far, both streams together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Output(Arc<Mutex<String>>, Arc<Mutex<Vec<thread::JoinHandle<()>>>>);

impl Output {
    pub(crate) fn follow(&self, stream: impl Read + Send + 'static, lines: Option<Sender<String>>) {
        let text = self.0.clone();
        let reader = thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let read = String::from_utf8_lossy(&line).into_owned();
                text.lock().unwrap_or_else(PoisonError::into_inner).push_str(&read);
                // Nobody listens any more once the address is known.
                lines.iter().for_each(|lines| drop(lines.send(read.clone())));
                line.clear();
            }
        });
        self.1.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
    }

    /// Everything, once the process has ended.
    pub(crate) fn text(&self) -> String {
        for reader in std::mem::take(&mut *self.1.lock().unwrap_or_else(PoisonError::into_inner)) {
            reader.join().expect("a reader");
        }
        self.so_far()
    }

    pub(crate) fn so_far(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where a server listens.
#[derive(Debug, Clone, Copy)]
struct Addresses {
    rest: SocketAddr,
    grpc: SocketAddr,
}

/// The addresses on the lines "REST:" and "gRPC:"; `None` if standard output ends without them.
fn wait_for_addresses(lines: &Receiver<String>) -> Option<Addresses> {
    let until = Instant::now() + DEADLINE;
    let mut rest = None;
    loop {
        let line = lines.recv_timeout(until.saturating_duration_since(Instant::now())).ok()?;
        rest = rest.or_else(|| address(&line, "REST:"));
        if let (Some(rest), Some(grpc)) = (rest, address(&line, "gRPC:")) {
            return Some(Addresses { rest, grpc });
        }
    }
}

/// The address on a line that begins like this.
pub(crate) fn address(line: &str, name: &str) -> Option<SocketAddr> {
    let rest = line.strip_prefix(name)?.trim();
    let address = rest.split_once("://").and_then(|(_, rest)| rest.split([' ', '/']).next());
    Some(address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no address: {line}")))
}

pub(crate) fn wait(child: &mut Child, most: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + most;
    loop {
        match child.try_wait().expect("a child of ours") {
            Some(status) => return Some(status),
            None if Instant::now() > until => return None,
            None => thread::sleep(POLL),
        }
    }
}

/// Kills a process that may have ended already, and gives its status.
pub(crate) fn end(child: &mut Child) -> ExitStatus {
    drop(child.kill());
    child.wait().expect("a child of ours")
}

/// A running server; dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    addresses: Addresses,
    output: Output,
    /// What it was given and must not print.
    secrets: BTreeSet<String>,
    /// Who does its work, where it does not do it itself.
    staff: Option<Staff>,
}

impl Server {
    /// Starts one and waits until it listens; an error says how it ended instead. The secrets are asked for when it has
    /// made those that it makes itself.
    pub(crate) fn spawn(command: &mut Command, secrets: impl FnOnce() -> BTreeSet<String>) -> Result<Self, Ended> {
        let mut child = command.spawn().expect("the program starts");
        let (lines, listening) = mpsc::channel();
        let output = Output::default();
        output.follow(child.stdout.take().expect("piped"), Some(lines));
        output.follow(child.stderr.take().expect("piped"), None);
        match wait_for_addresses(&listening) {
            Some(addresses) => Ok(Self { child, addresses, output, secrets: secrets(), staff: None }),
            None => {
                let ended = Ended { status: end(&mut child), output: output.text() };
                leaks::none_in(&ended.output, &secrets(), &[]);
                Err(ended)
            }
        }
    }

    /// Has these do its work: they end with it.
    pub(crate) fn take_on(&mut self, staff: Staff) {
        self.staff = Some(staff);
    }

    /// Where it listens for REST.
    pub fn address(&self) -> SocketAddr {
        self.addresses.rest
    }

    /// Where it listens for gRPC.
    pub fn grpc_address(&self) -> SocketAddr {
        self.addresses.grpc
    }

    /// Where it serves metrics: on a line of its own, soon after the others.
    #[track_caller]
    pub fn metrics_address(&self) -> SocketAddr {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = self.output().lines().find_map(|line| address(line, "Metrics:")) {
                return found;
            }
            assert!(Instant::now() < until, "the server serves no metrics: {}", self.output());
            thread::sleep(POLL);
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A client without a credential.
    pub fn anonymous(&self) -> Client {
        Client::new(self.address())
    }

    /// A client with [`ADMIN_KEY`].
    pub fn admin(&self) -> Client {
        self.anonymous().bearer(ADMIN_KEY)
    }

    /// What it printed so far, on standard output and standard error.
    pub fn output(&self) -> String {
        self.output.so_far()
    }

    /// Sends SIGKILL and waits for the end: a crash.
    pub fn kill(mut self) -> Ended {
        let status = end(&mut self.child);
        self.ended_with(status)
    }

    /// Sends SIGKILL and waits for the end, when another is to take its place.
    pub fn crash(&mut self) {
        end(&mut self.child);
        self.staff = None;
    }

    /// Sends SIGTERM, without waiting.
    pub fn terminate(&self) {
        let id = Pid::from_child(&self.child);
        kill_process(id, Signal::TERM).expect("a child of ours");
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(self) -> Ended {
        self.terminate();
        self.ended()
    }

    /// Waits for the end; a server that does not end fails the test.
    pub fn ended(mut self) -> Ended {
        let status = wait(&mut self.child, DEADLINE);
        let status = status.unwrap_or_else(|| panic!("the server did not end: {}", self.output.so_far()));
        self.ended_with(status)
    }

    /// All it printed, in which none of what it must not print may stand.
    fn ended_with(&mut self, status: ExitStatus) -> Ended {
        // First: what this one was told is forgotten below.
        self.staff = None;
        let output = self.output.text();
        leaks::none_in(&output, &self.secrets, &[self.addresses.rest, self.addresses.grpc]);
        Ended { status, output }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let status = end(&mut self.child);
        if !thread::panicking() {
            self.ended_with(status);
        }
    }
}
