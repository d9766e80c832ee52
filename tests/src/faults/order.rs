//! The order of calls that makes a write durable before its answer: read from a trace, and red where a sync is missing.
//!
//! On `fs` each write is a temporary file, synced before it is renamed, in a directory that is synced after it; a directory
//! that was made is one of its parent's entries, and that is synced, too. Several writes may share a sync: all that counts
//! is that one lies between. On `embedded` the log is synced after it was written.

use std::path::Path;

use super::trace::Called;
use crate::storages::Storage;

/// What was written before an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrote {
    /// Nothing had to be.
    Nothing,
    /// Whatever was put or deleted since the answer before: all of it counts, and there has to be something.
    Whatever,
    /// The files of these names were put.
    Put(Vec<String>),
    /// The file of this name was deleted.
    Deleted(String),
    /// A file that others have deleted before, from a directory whose path ends like this.
    Gone(&'static str),
}

/// A client's acknowledged writes, in order.
#[derive(Debug, Clone)]
pub struct Writes {
    /// The client's port.
    pub port: u16,
    /// What each answer was about.
    pub wrote: Vec<Wrote>,
}

/// Everything that a trace shows to be wrong: a line each.
pub fn violations(calls: &[Called], storage: Storage, clients: &[Writes]) -> Vec<String> {
    clients.iter().flat_map(|client| client_violations(calls, storage, client)).collect()
}

/// The calls that answer a client with success.
pub fn answers(calls: &[Called], port: u16) -> Vec<&Called> {
    let peer = format!(":{port}]");
    let to_client = |call: &&Called| call.descriptor().is_some_and(|descriptor| descriptor.ends_with(&peer));
    calls.iter().filter(to_client).filter(|call| call.arguments.contains("\"HTTP/1.1 2")).collect()
}

fn client_violations(calls: &[Called], storage: Storage, client: &Writes) -> Vec<String> {
    let answers = answers(calls, client.port);
    // What comes after them is of no interest.
    if answers.len() < client.wrote.len() {
        return vec![format!("{} answers to {} writes", answers.len(), client.wrote.len())];
    }
    let mut wrong = Vec::new();
    let mut since = 0;
    for (answer, wrote) in answers.into_iter().zip(&client.wrote) {
        let window = Window { calls, since, until: answer.begun };
        let found = match storage {
            Storage::Embedded if matches!(wrote, Wrote::Nothing | Wrote::Gone(_)) => Vec::new(),
            Storage::Embedded => window.log(),
            Storage::Fs => window.files(wrote),
        };
        wrong.extend(found.into_iter().map(|what| format!("before the answer on line {}: {what}", answer.begun + 1)));
        since = answer.ended;
    }
    wrong
}

/// The calls between two answers to one client.
struct Window<'a> {
    /// The calls of the whole trace.
    calls: &'a [Called],
    since: usize,
    until: usize,
}

/// A sidecar may be late or missing, and a temporary file is nobody's.
fn is_derived(path: &str) -> bool {
    path.ends_with(".meta.json")
        || Path::new(path).file_name().is_some_and(|name| name.to_string_lossy().starts_with(".t-"))
}

fn is_put(call: &Called) -> bool {
    ["rename", "renameat", "renameat2", "link", "linkat"].contains(&call.name.as_str())
}

fn is_deletion(call: &Called) -> bool {
    ["unlink", "unlinkat"].contains(&call.name.as_str())
}

impl Window<'_> {
    fn here(&self) -> impl DoubleEndedIterator<Item = &Called> {
        self.calls.iter().filter(|call| call.begun > self.since && call.ended < self.until)
    }

    /// Whether a file or a directory was synced after one line and before another.
    fn synced(&self, path: &str, after: usize, before: usize) -> bool {
        self.calls.iter().filter(|call| call.begun > after && call.ended < before).any(|call| {
            let whole = call.name == "syncfs";
            let this = ["fsync", "fdatasync"].contains(&call.name.as_str()) && call.descriptor() == Some(path);
            whole || this
        })
    }

    fn log(&self) -> Vec<String> {
        let write = |call: &&Called| {
            let log = call.descriptor().is_some_and(|path| path.ends_with(".jnl"));
            log && ["write", "pwrite64", "writev"].contains(&call.name.as_str())
        };
        let mut writes = self.here().filter(write).peekable();
        if writes.peek().is_none() {
            return vec!["no write to the log".to_owned()];
        }
        // Which of them is the client's cannot be seen, and those of others may come after it.
        let synced = writes.any(|write| self.synced(write.descriptor().unwrap_or_default(), write.ended, self.until));
        if synced { Vec::new() } else { vec!["the log is not synced after a write".to_owned()] }
    }

    fn files(&self, wrote: &Wrote) -> Vec<String> {
        let to =
            |call: &&Called, name: &str| call.paths().last().is_some_and(|path| path.ends_with(&format!("/{name}")));
        match wrote {
            Wrote::Nothing => Vec::new(),
            Wrote::Whatever => {
                let lasting = |call: &&Called| call.paths().last().is_some_and(|path| !is_derived(path));
                let changes: Vec<_> =
                    self.here().filter(lasting).filter(|call| is_put(call) || is_deletion(call)).collect();
                match changes.is_empty() {
                    true => vec!["nothing was written".to_owned()],
                    false => changes.into_iter().flat_map(|change| self.change(change)).collect(),
                }
            }
            Wrote::Put(names) => {
                let one = |name: &String| match self.here().rfind(|call| is_put(call) && to(call, name)) {
                    Some(put) => self.change(put),
                    None => vec![format!("{name} was not put")],
                };
                names.iter().flat_map(one).collect()
            }
            // Whoever deleted it may not have synced it.
            Wrote::Gone(directory) => {
                let there = |call: &Called| call.descriptor().is_some_and(|path| path.ends_with(directory));
                if self.here().any(|call| call.name == "syncfs" || call.name == "fsync" && there(call)) {
                    Vec::new()
                } else {
                    vec![format!("{directory} is not synced")]
                }
            }
            Wrote::Deleted(name) => match self.here().rfind(|call| is_deletion(call) && to(call, name)) {
                Some(deletion) => self.change(deletion),
                None => vec![format!("{name} was not deleted")],
            },
        }
    }

    /// What is missing around a rename or an unlink.
    fn change(&self, call: &Called) -> Vec<String> {
        let paths = call.paths();
        let [.., path] = paths.as_slice() else { return vec![format!("a call without a path: {call:?}")] };
        let mut wrong = Vec::new();
        if let (true, Some(temporary)) = (is_put(call), paths.first()) {
            wrong.extend(self.temporary(temporary, call.begun));
        }
        let directory =
            Path::new(path).parent().map(|parent| parent.to_string_lossy().into_owned()).unwrap_or_default();
        if !self.synced(&directory, call.ended, self.until) {
            wrong.push(format!("{directory} is not synced after {} of {path}", call.name));
        }
        wrong.extend(self.made(path));
        wrong
    }

    fn temporary(&self, path: &str, renamed: usize) -> Option<String> {
        let write = |call: &&Called| {
            call.ended < renamed
                && call.descriptor() == Some(path)
                && ["write", "pwrite64", "writev", "pwritev"].contains(&call.name.as_str())
        };
        match self.calls.iter().rfind(write) {
            None => Some(format!("{path} was not written before it got its name")),
            Some(written) if self.synced(path, written.ended, renamed) => None,
            Some(_) => Some(format!("{path} is not synced between its write and its rename")),
        }
    }

    /// The directories above a path that were made in this trace and are not entries of their parents for good.
    fn made(&self, path: &str) -> Vec<String> {
        let above = |call: &&Called| {
            let made = call.paths().last().is_some_and(|made| path.starts_with(&format!("{made}/")));
            made && ["mkdir", "mkdirat"].contains(&call.name.as_str()) && call.ended < self.until
        };
        let mut wrong = Vec::new();
        for made in self.calls.iter().filter(above) {
            let made_path = made.paths().pop().unwrap_or_default();
            let parent = Path::new(&made_path).parent().map(|parent| parent.to_string_lossy().into_owned());
            if !self.synced(&parent.unwrap_or_default(), made.ended, self.until) {
                wrong.push(format!("{made_path} was made, and its parent is not synced"));
            }
        }
        wrong
    }
}
