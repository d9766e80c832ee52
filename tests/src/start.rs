//! How a program is started: command line, variables, directory; and what it is to run to its end.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::leaks;
use crate::server::{DEADLINE, Ended, Server, end, wait};
use crate::staffed;

/// The admin key that servers here are started with.
pub const ADMIN_KEY: &str = "an-admin-key-of-the-tests";
/// The master key that servers here are started with.
pub const MASTER_KEY: &str = "8f1c0d5be2a94736b1c7d8e9f00112233445566778899aabbccddeeff0a1b2c3";

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Start {
    program: PathBuf,
    prefix: Vec<OsString>,
    arguments: Vec<OsString>,
    variables: Vec<(String, OsString)>,
    directory: Option<PathBuf>,
    input: Option<Vec<u8>>,
}

impl Start {
    /// A program with these arguments and no variables but the few that any process has.
    pub fn bare(program: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        let program = std::env::var_os("DELTADB_BIN").map_or_else(|| program.into(), PathBuf::from);
        let arguments = arguments.iter().map(OsString::from).collect();
        Self { program, prefix: Vec::new(), arguments, variables: Vec::new(), directory: None, input: None }
    }

    /// `deltadb serve` over a data directory, on free ports, with [`ADMIN_KEY`] and [`MASTER_KEY`].
    pub fn serve(program: impl Into<PathBuf>, data: &Path) -> Self {
        let start = Self::bare(program, &["serve"]).on_free_ports(data);
        start.variable("ADMIN_KEY", ADMIN_KEY).variable("MASTER_KEY", MASTER_KEY)
    }

    /// `deltadb serve --dev` over a data directory, on free ports, with keys of its own.
    pub fn dev(program: impl Into<PathBuf>, data: &Path) -> Self {
        Self::bare(program, &["serve", "--dev"]).on_free_ports(data)
    }

    /// By variables, so that a test's own flags count instead.
    fn on_free_ports(self, data: &Path) -> Self {
        let any = "127.0.0.1:0";
        self.variable("DELTADB_REST_ADDR", any).variable("DELTADB_GRPC_ADDR", any).variable("DELTADB_DATA_DIR", data)
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

    /// The same with this on standard input, which is empty otherwise.
    #[must_use]
    pub fn input(mut self, input: impl AsRef<[u8]>) -> Self {
        self.input = Some(input.as_ref().to_vec());
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

    /// The same variables for another command line.
    #[must_use]
    pub fn line(mut self, program: &str, arguments: &[&str]) -> Self {
        self.program = program.into();
        self.arguments = arguments.iter().map(OsString::from).collect();
        self
    }

    /// The same line with another first word.
    pub(crate) fn instead_of_first(mut self, word: &str) -> Self {
        self.arguments.iter_mut().take(1).for_each(|first| *first = word.into());
        self
    }

    /// The first word of the line, and the flags behind it with their values.
    pub(crate) fn flags(&self) -> (String, Vec<(String, Option<String>)>) {
        let words: Vec<String> = self.arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let flags = words.iter().enumerate().filter_map(|(at, word)| {
            let flag = word.strip_prefix("--")?;
            let next = words.get(at + 1).filter(|next| !next.starts_with("--")).cloned();
            Some(match flag.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (flag.to_owned(), next),
            })
        });
        (words.first().cloned().unwrap_or_default(), flags.collect())
    }

    /// Whether it has a variable.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.variables.iter().any(|(given, _)| given == name)
    }

    /// The data directory that its variables name.
    pub(crate) fn data(&self) -> PathBuf {
        let data = self.variables.iter().find(|(name, _)| name == "DELTADB_DATA_DIR");
        data.map(|(_, data)| PathBuf::from(data)).expect("a server of the tests has a data directory")
    }

    /// The same, run by another program, `nsenter` for example.
    #[must_use]
    pub fn prefix(mut self, prefix: &[OsString]) -> Self {
        self.prefix = prefix.to_vec();
        self
    }

    pub(crate) fn command(&self) -> Command {
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

    /// Starts a server, which logs all it can unless the test says otherwise; an error says how it ended instead of
    /// listening.
    pub fn try_up(&self) -> Result<Server, Ended> {
        staffed::up(self).unwrap_or_else(|| self.alone())
    }

    /// The same, whatever this run of the tests asks for.
    pub(crate) fn alone(&self) -> Result<Server, Ended> {
        Server::spawn(&mut self.logging(), || self.secrets())
    }

    /// The command of a process that logs all it can unless the test says otherwise.
    pub(crate) fn logging(&self) -> Command {
        let mut command = self.command();
        if !self.variables.iter().any(|(name, _)| name == "RUST_LOG") {
            command.env("RUST_LOG", "trace");
        }
        command
    }

    /// What it is given that must not be printed.
    pub(crate) fn secrets(&self) -> BTreeSet<String> {
        let text = |value: &OsString| value.to_string_lossy().into_owned();
        let arguments: Vec<_> = self.arguments.iter().map(text).collect();
        let variables: Vec<_> = self.variables.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        leaks::given(&arguments, &variables)
    }

    /// Runs a command to its end.
    pub fn run(&self) -> Finished {
        let mut command = self.command();
        if self.input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().expect("the program starts");
        let input = child.stdin.take().zip(self.input.clone());
        // A program that does not read it all is no failure of the test's.
        let writer = input.map(|(mut stdin, bytes)| thread::spawn(move || drop(stdin.write_all(&bytes))));
        let (mut out, mut err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let out = thread::spawn(move || read_all(&mut out));
        let err = thread::spawn(move || read_all(&mut err));
        let status = wait(&mut child, DEADLINE);
        let status = status.unwrap_or_else(|| end(&mut child));
        writer.into_iter().for_each(|writer| writer.join().expect("a writer"));
        let text = |thread: thread::JoinHandle<String>| thread.join().expect("a reader");
        let finished = Finished { code: status.code(), stdout: text(out), stderr: text(err) };
        leaks::none_in(&finished.stderr, &self.secrets(), &[]);
        finished
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
