//! The client commands: what they print, what they send, how they end, and what they keep.

mod bulk;
mod certs;
mod documents;
mod failures;
mod keys;
mod list;
mod schemas;
mod sessions;
mod shipped;
mod store;
mod tls;

use delta_tests::server::Server;
use delta_tests::start::{ADMIN_KEY, Finished, Start};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{PROGRAM, server};

/// Somebody at a shell: a server's address, a credential, and a home of their own.
struct Shell {
    directory: TempDir,
    server: Server,
}

impl Shell {
    /// A shell beside a new server.
    fn new() -> Self {
        let (directory, server) = server();
        Self { directory, server }
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// A command without a credential.
    fn bare(&self, arguments: &[&str]) -> Start {
        let start = Start::bare(PROGRAM, arguments).directory(self.directory.path());
        start.variable("DELTADB_URL", self.url()).variable("XDG_CONFIG_HOME", self.directory.path().join("config"))
    }

    /// A command with the admin key.
    fn command(&self, arguments: &[&str]) -> Start {
        self.bare(arguments).variable("DELTADB_TOKEN", ADMIN_KEY)
    }

    /// Runs a command that succeeds and says nothing on standard error; gives what it printed.
    #[track_caller]
    fn prints(&self, arguments: &[&str]) -> String {
        printed(self.command(arguments).run())
    }

    /// The same with something on standard input.
    #[track_caller]
    fn prints_for(&self, arguments: &[&str], input: &str) -> String {
        printed(self.command(arguments).input(input).run())
    }

    /// Runs a command that fails with this exit code; gives its one line.
    #[track_caller]
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        refused(code, self.command(arguments).run())
    }

    /// Writes a file into the shell's directory.
    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap()
    }
}

#[track_caller]
fn printed(finished: Finished) -> String {
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    finished.stdout
}

/// The one line of a failure on standard error, without `error: `; nothing else was printed.
#[track_caller]
fn refused(code: i32, finished: Finished) -> String {
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(code), ""), "{finished:?}");
    let line = finished.stderr.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {finished:?}"));
    assert_eq!(line.lines().count(), 1, "{finished:?}");
    line.strip_prefix("error: ").unwrap_or_else(|| panic!("{finished:?}")).to_owned()
}

#[track_caller]
fn json(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text:?}");
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

/// A line of a table as its cells.
fn cells(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}
