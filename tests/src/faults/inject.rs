//! One fault in the middle of the script: a call of the server's fails, or is its last one.
//!
//! Whatever the fault, the answers stay true: what was acknowledged is there after a restart, what was refused is not, and
//! nothing is torn. strace counts the calls of each thread, so a request that uses several may meet a fault in each.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::attach::Attached;
use super::ledger::{Ledger, Outcome};
use super::script::{Operation, script};
use crate::http::{Client, Request, Response};
use crate::server::Server;
use crate::start::Start;
use crate::storages::Storage;

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process ends at once.
    Kill,
    /// The disk fails.
    Eio,
    /// The disk is full.
    Enospc,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 3] = [Self::Kill, Self::Eio, Self::Enospc];

    /// In strace's words.
    fn inject(self) -> &'static str {
        match self {
            Self::Kill => "signal=SIGKILL",
            Self::Eio => "error=EIO",
            Self::Enospc => "error=ENOSPC",
        }
    }

    /// What whoever reads about it has to be told.
    fn said(self) -> &'static str {
        match self {
            Self::Kill => "",
            Self::Eio => "Input/output error",
            Self::Enospc => "No space left on device",
        }
    }
}

/// A kind of call, under every name that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its usual name.
    pub name: &'static str,
    names: &'static str,
}

/// The calls that change what is on the disk, and the one that opens files.
pub const CALLS: [Call; 8] = [
    Call { name: "write", names: "write,pwrite64,writev,pwritev" },
    Call { name: "fdatasync", names: "fdatasync" },
    Call { name: "fsync", names: "fsync" },
    Call { name: "syncfs", names: "syncfs" },
    Call { name: "rename", names: "?rename,renameat,renameat2" },
    Call { name: "unlink", names: "?unlink,unlinkat" },
    Call { name: "mkdir", names: "?mkdir,mkdirat" },
    Call { name: "openat", names: "?open,openat" },
];

/// Where a fault happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// During which operation of the script.
    pub operation: usize,
    /// At which of its calls.
    pub call: Call,
    /// At which of these, counted from 1.
    pub nth: u32,
    /// What happens then.
    pub fault: Fault,
    /// Whether the rest of the script may meet the fault, too, and with it what is written after the answer.
    pub stay: bool,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = if self.stay { " or later" } else { "" };
        write!(f, "operation {}{rest}, {} {}: {:?}", self.operation, self.call.name, self.nth, self.fault)
    }
}

/// What one run has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Whether there was such a call.
    pub hit: bool,
    /// What became of the operation.
    pub outcome: Outcome,
}

/// Runs the script over a new store with a fault in it, and looks at what is left after a restart.
pub fn run(program: &Path, storage: Storage, point: Point) -> Result<Seen, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let data = directory.path().join("data");
    let start = storage.serve(program, &data).variable("RUST_LOG", "warn");
    let server = start.try_up().map_err(|ended| format!("no start: {ended:?}"))?;
    let run = Run { point, storage, root: storage.root(&data), trace: directory.path().join("trace") };
    let script = script();
    let mut ledger = Ledger::new(&script);
    let seen = run.script(&server, &script, &mut ledger);
    let ended = server.kill();
    let seen = seen.map_err(|error| format!("{error}\n{}", ended.output))?;
    restarted(&start, &ledger).map_err(|wrong| format!("after a restart ({:?}):\n  {wrong}", seen.outcome))?;
    Ok(seen)
}

struct Run {
    point: Point,
    storage: Storage,
    /// Where the storage keeps its files.
    root: PathBuf,
    /// Where strace notes what it did.
    trace: PathBuf,
}

impl Run {
    fn script(&self, server: &Server, script: &[Operation], ledger: &mut Ledger) -> Result<Seen, String> {
        let mut client = server.admin();
        let mut seen = Seen { hit: false, outcome: Outcome::Done };
        let mut attached = None;
        for (at, operation) in script.iter().enumerate() {
            let request = operation.request(&mut client);
            let here = at == self.point.operation;
            if here {
                attached = Some(Attached::to(server.id(), &self.arguments(script), &self.trace)?);
            }
            let answer = match request {
                Ok(Some(request)) => client.try_send(&request).ok(),
                Ok(None) => continue,
                // Without the list there is nothing to ask for.
                Err(_) if attached.is_some() => continue,
                Err(error) => return Err(error),
            };
            let outcome = ledger.note(operation, answer.as_ref());
            if here {
                seen.outcome = outcome;
            } else if at < self.point.operation && outcome != Outcome::Done {
                return Err(format!("operation {at} was refused before any fault: {answer:?}"));
            }
            if here && !self.point.stay {
                let attached = attached.take().expect("attached");
                seen.hit = was_hit(&if answer.is_some() { attached.detach() } else { attached.ended() });
                if seen.hit && self.point.fault != Fault::Kill {
                    // What a kill loses nothing of, a power cut would.
                    if self.point.call.name == "syncfs" && outcome == Outcome::Done {
                        return Err(format!("acknowledged although its sync failed: {answer:?}"));
                    }
                    self.told(outcome, answer.as_ref(), server)?;
                    ledger.check(&mut client).map_err(|wrong| format!("before a restart: {wrong}"))?;
                }
            }
            if answer.is_none() {
                break;
            }
        }
        if let Some(attached) = attached {
            let gone = client.try_send(&Request::new("GET", "/health")).is_err();
            seen.hit |= was_hit(&if gone { attached.ended() } else { attached.detach() });
        }
        Ok(seen)
    }

    fn arguments(&self, script: &[Operation]) -> Vec<OsString> {
        let Point { call, nth, fault, .. } = self.point;
        let mut arguments: Vec<OsString> =
            ["-e", &format!("inject={}:{}:when={nth}", call.names, fault.inject())].map(OsString::from).into();
        // Sockets, pipes and the log are written, too.
        if call.name == "write" {
            let before = script.iter().take(self.point.operation).flat_map(|operation| &operation.after);
            let writes = before.filter(|(_, after)| after.is_some()).count();
            let files = super::paths::written(self.storage, &self.root, writes);
            arguments.extend(files.into_iter().flat_map(|file| ["-P".into(), file.into_os_string()]));
        }
        arguments
    }

    /// A failure says what failed: to the client, or in the log if it is none of the client's business.
    fn told(&self, outcome: Outcome, answer: Option<&Response>, server: &Server) -> Result<(), String> {
        let Some(answer) = answer else { return Err("a failed call, and no answer".to_owned()) };
        if outcome == Outcome::Done {
            return Ok(());
        }
        let said = self.point.fault.said();
        let detail = answer.json().get("detail").map(ToString::to_string).unwrap_or_default();
        let to_client = matches!(answer.status, 503 | 507) && detail.contains(said);
        let to_operator = server.output().contains(said);
        match (matches!(answer.status, 500 | 503 | 507), to_client || to_operator) {
            (true, true) => Ok(()),
            _ => Err(format!("nobody is told of {said:?}: {answer:?}\n{}", server.output())),
        }
    }
}

fn was_hit(trace: &str) -> bool {
    trace.contains("(INJECTED)") || trace.contains("killed by SIGKILL")
}

/// Starts the server again, and finds what the answers said, in the list of keys as well; and it takes writes.
fn restarted(start: &Start, ledger: &Ledger) -> Result<(), String> {
    let server = start.try_up().map_err(|ended| format!("no restart: {ended:?}"))?;
    let mut client = server.admin();
    ledger.check(&mut client)?;
    ledger.check_lists(&mut client)?;
    writable(&mut client)?;
    let ended = server.stop();
    if ended.status.success() { Ok(()) } else { Err(format!("a bad end: {ended:?}")) }
}

fn writable(client: &mut Client) -> Result<(), String> {
    let target = "/entity/after/restart";
    for request in [Request::new("PUT", target).body("{}"), Request::new("DELETE", target)] {
        let answer = client.try_send(&request).map_err(|error| error.to_string())?;
        if answer.status >= 300 {
            return Err(format!("no write after a restart: {answer:?}"));
        }
    }
    Ok(())
}
