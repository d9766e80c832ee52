//! Servers as processes: started on a free port, watched by what they print, and ended by their own process id.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::http::Client;

/// The admin key that servers here are started with.
pub const ADMIN_KEY: &str = "an-admin-key-of-the-tests";
/// The master key that servers here are started with.
pub const MASTER_KEY: &str = "8f1c0d5be2a94736b1c7d8e9f00112233445566778899aabbccddeeff0a1b2c3";
/// How long a server may take to start or to end.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often a process is asked whether it has ended.
const POLL: Duration = Duration::from_millis(2);

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Start {
    program: PathBuf,
    prefix: Vec<OsString>,
    arguments: Vec<OsString>,
    variables: Vec<(String, OsString)>,
    directory: Option<PathBuf>,
}

impl Start {
    /// A program with these arguments and no variables but the few that any process has.
    pub fn bare(program: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        let program = std::env::var_os("DELTADB_BIN").map_or_else(|| program.into(), PathBuf::from);
        let arguments = arguments.iter().map(OsString::from).collect();
        Self { program, prefix: Vec::new(), arguments, variables: Vec::new(), directory: None }
    }

    /// `deltadb serve` over a data directory, on a free port, with [`ADMIN_KEY`] and [`MASTER_KEY`].
    pub fn serve(program: impl Into<PathBuf>, data: &Path) -> Self {
        let start = Self::bare(program, &["serve"]).on_a_free_port(data);
        start.variable("ADMIN_KEY", ADMIN_KEY).variable("MASTER_KEY", MASTER_KEY)
    }

    /// `deltadb serve --dev` over a data directory, on a free port, with keys of its own.
    pub fn dev(program: impl Into<PathBuf>, data: &Path) -> Self {
        Self::bare(program, &["serve", "--dev"]).on_a_free_port(data)
    }

    /// By variables, so that a test's own flags count instead.
    fn on_a_free_port(self, data: &Path) -> Self {
        self.variable("DELTADB_REST_ADDR", "127.0.0.1:0").variable("DELTADB_DATA_DIR", data)
    }

    /// The same with one more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().into());
        self
    }

    /// The same with more arguments.
    #[must_use]
    pub fn args(self, arguments: &[&str]) -> Self {
        arguments.iter().fold(self, |start, argument| start.arg(argument))
    }

    /// The same with a variable, which replaces one of the same name.
    #[must_use]
    pub fn variable(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let mut without = self.without(name);
        without.variables.push((name.into(), value.as_ref().into()));
        without
    }

    /// The same without a variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(given, _)| given != name);
        self
    }

    /// The same in another working directory.
    #[must_use]
    pub fn directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The same under another name of the program, a symbolic link for example.
    #[must_use]
    pub fn run_as(mut self, program: &Path) -> Self {
        self.program = program.into();
        self
    }

    /// The same, run by another program, `nsenter` for example.
    #[must_use]
    pub fn prefix(mut self, prefix: &[OsString]) -> Self {
        self.prefix = prefix.to_vec();
        self
    }

    fn command(&self) -> Command {
        let line = [self.prefix.as_slice(), &[self.program.clone().into_os_string()], &self.arguments].concat();
        let (program, arguments) = line.split_first().expect("a program");
        let mut command = Command::new(program);
        command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
            .envs(std::env::vars_os().filter(|(name, _)| ["PATH", "HOME", "TMPDIR"].iter().any(|kept| name == kept)));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        self.directory.iter().for_each(|directory| _ = command.current_dir(directory));
        command
    }

    /// Starts a server and waits until it listens.
    #[track_caller]
    pub fn up(&self) -> Server {
        match self.try_up() {
            Ok(server) => server,
            Err(ended) => panic!("the server did not start: {ended:?}"),
        }
    }

    /// Starts a server; an error says how it ended instead of listening.
    pub fn try_up(&self) -> Result<Server, Ended> {
        let mut child = self.command().spawn().expect("the program starts");
        let (lines, listening) = mpsc::channel();
        let output = Output::default();
        output.follow(child.stdout.take().expect("piped"), Some(lines));
        output.follow(child.stderr.take().expect("piped"), None);
        match wait_for_address(&listening) {
            Some(address) => Ok(Server { child, address, output }),
            None => Err(Ended { status: end(&mut child), output: output.text() }),
        }
    }

    /// Runs a command to its end.
    pub fn run(&self) -> Finished {
        let mut child = self.command().spawn().expect("the program starts");
        let (mut out, mut err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let out = thread::spawn(move || read_all(&mut out));
        let err = thread::spawn(move || read_all(&mut err));
        let status = wait(&mut child, DEADLINE);
        let status = status.unwrap_or_else(|| end(&mut child));
        let text = |thread: thread::JoinHandle<String>| thread.join().expect("a reader");
        Finished { code: status.code(), stdout: text(out), stderr: text(err) }
    }
}

fn read_all(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("a pipe is readable");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A command that ran to its end.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Everything on standard output.
    pub stdout: String,
    /// Everything on standard error.
    pub stderr: String,
}

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
struct Output(Arc<Mutex<String>>, Arc<Mutex<Vec<thread::JoinHandle<()>>>>);

impl Output {
    fn follow(&self, stream: impl Read + Send + 'static, lines: Option<Sender<String>>) {
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
    fn text(&self) -> String {
        for reader in std::mem::take(&mut *self.1.lock().unwrap_or_else(PoisonError::into_inner)) {
            reader.join().expect("a reader");
        }
        self.so_far()
    }

    fn so_far(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The address on the "REST:" line; `None` if standard output ends without one.
fn wait_for_address(lines: &Receiver<String>) -> Option<SocketAddr> {
    let until = Instant::now() + DEADLINE;
    loop {
        let line = lines.recv_timeout(until.saturating_duration_since(Instant::now())).ok()?;
        let Some(rest) = line.strip_prefix("REST:") else { continue };
        let address = rest.trim().strip_prefix("http://").and_then(|rest| rest.split_whitespace().next());
        return Some(address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no address: {line}")));
    }
}

fn wait(child: &mut Child, most: Duration) -> Option<ExitStatus> {
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
fn end(child: &mut Child) -> ExitStatus {
    drop(child.kill());
    child.wait().expect("a child of ours")
}

/// A running server; dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    output: Output,
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A client without a credential.
    pub fn anonymous(&self) -> Client {
        Client::new(self.address)
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
        Ended { status: end(&mut self.child), output: self.output.text() }
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
        Ended { status, output: self.output.text() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
