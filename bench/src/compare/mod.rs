//! The comparisons: both sides in the same run, in turns, and the median of each.

pub(crate) mod cluster;
pub(crate) mod fs;
pub(crate) mod get;
pub(crate) mod grpc;
pub(crate) mod latency;
pub(crate) mod million;
pub(crate) mod published;
pub(crate) mod put;
mod redis;
pub(crate) mod seal;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::disk;
use crate::grpc::{Method, messages as grpc_messages};
use crate::load::{self, Outcome, Plan};
use crate::process::{ADMIN_KEY, Server};
use crate::request::{Keys, Requests, Url, document, documents};
use crate::stats::{median, micros};

/// What a GET answers.
const READ: &[u16] = &[200];
/// What a PUT answers.
const WRITTEN: &[u16] = &[200, 201];
/// A document of most comparisons, in bytes.
const DOCUMENT_BYTES: usize = 300;
/// Connections of the comparisons of throughput.
const CONNECTIONS: usize = 64;
/// Load before each turn, as a part of it, that is not measured.
const WARM_UP: f64 = 0.2;
/// How long a server may go on working behind its answers (compaction, say) before the other's turn.
const SETTLE_MAX: Duration = Duration::from_secs(20);

/// One run of comparisons.
#[derive(Debug)]
pub(crate) struct Bench {
    deltadb: PathBuf,
    pace: Pace,
    directory: TempDir,
}

/// How often each side has its turn, and how long that is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
}

impl Pace {
    /// More and shorter turns in the same time.
    fn split(self, turns: usize) -> Self {
        Self { rounds: self.rounds * turns, seconds: self.seconds / turns as f64 }
    }
}

/// What one turn of one side showed.
#[derive(Debug, Clone)]
struct Turn {
    per_second: f64,
    p50_micros: f64,
}

/// A server, and what is asked of it.
#[derive(Debug)]
struct Side<'a> {
    server: &'a Server,
    requests: Requests,
    protocol: Protocol,
}

/// How it is asked.
#[derive(Debug, Clone, Copy)]
enum Protocol {
    /// By REST, which answers well with one of these.
    Rest(&'static [u16]),
    Grpc(Method),
}

impl<'a> Side<'a> {
    fn get(server: &'a Server, keys: u64) -> Result<Self> {
        let url = entity_url(server)?;
        let requests = Requests::new(&url, ADMIN_KEY, None, Keys::Random(keys));
        Ok(Self { server, requests, protocol: Protocol::Rest(READ) })
    }

    fn put(server: &'a Server, keys: u64) -> Result<Self> {
        let url = entity_url(server)?;
        let requests = Requests::new(&url, ADMIN_KEY, Some(&document(DOCUMENT_BYTES)), Keys::Random(keys));
        Ok(Self { server, requests, protocol: Protocol::Rest(WRITTEN) })
    }

    /// GETs of one path.
    fn any(server: &'a Server, path: &str) -> Result<Self> {
        let url = Url::parse(&format!("http://{}{path}", server.addr))?;
        Ok(Self {
            server,
            requests: Requests::new(&url, ADMIN_KEY, None, Keys::InOrder(1)),
            protocol: Protocol::Rest(READ),
        })
    }

    /// PUTs, each followed by a GET of what it wrote.
    fn put_then_get(server: &'a Server, keys: u64) -> Result<Self> {
        let url = entity_url(server)?;
        let of = |body: Option<&str>| Requests::new(&url, ADMIN_KEY, body, Keys::InOrder(keys));
        let requests = of(Some(&document(DOCUMENT_BYTES))).alternating(of(None));
        Ok(Self { server, requests, protocol: Protocol::Rest(WRITTEN) })
    }

    fn put_maps(server: &'a Server, keys: Keys, count: usize) -> Result<Self> {
        let url = Url::parse(&format!("http://{}/entity/bench", server.addr))?;
        let requests = Requests::new(&url, ADMIN_KEY, Some(&documents(count, DOCUMENT_BYTES)), keys);
        Ok(Self { server, requests, protocol: Protocol::Rest(WRITTEN) })
    }

    /// By gRPC.
    fn grpc(server: &'a Server, method: Method, keys: u64) -> Result<Self> {
        let document = matches!(method, Method::Put).then(|| document(DOCUMENT_BYTES));
        let requests = grpc_messages(document.as_deref(), Keys::Random(keys))?;
        Ok(Self { server, requests, protocol: Protocol::Grpc(method) })
    }

    fn run(&mut self, plan: Plan) -> Result<Outcome> {
        match self.protocol {
            Protocol::Rest(statuses) => load::run(self.server.addr, &mut self.requests, statuses, plan),
            Protocol::Grpc(method) => {
                crate::grpc::run(self.server.grpc_addr, method, ADMIN_KEY, &mut self.requests, plan)
            }
        }
    }

    /// Warms up, measures, prints, and waits until the server rests.
    fn turn(&mut self, connections: usize, seconds: f64) -> Result<Turn> {
        self.run(Plan::of_seconds(connections, seconds * WARM_UP))?;
        let before = self.server.cpu()?;
        let outcome = self.run(Plan::of_seconds(connections, seconds))?;
        let cpu = micros(self.server.cpu()? - before) / outcome.requests as f64;
        println!("  {:<10} {outcome}  {cpu:.1} µs of CPU each", self.server.name);
        settle(self.server)?;
        Ok(Turn { per_second: outcome.per_second, p50_micros: micros(outcome.p50) })
    }
}

impl Bench {
    pub(crate) fn new(deltadb: PathBuf, parent: &Path, pace: Pace) -> Result<Self> {
        Ok(Self { deltadb, pace, directory: disk::directory(parent)? })
    }

    /// A directory for one comparison.
    fn fresh(&self, name: &str) -> Result<PathBuf> {
        println!("{name}:");
        let directory = self.directory.path().join(name);
        std::fs::create_dir(&directory)?;
        Ok(directory)
    }
}

/// Both sides in turns.
fn alternate(pace: Pace, sides: [&mut Side<'_>; 2], connections: usize) -> Result<[Vec<Turn>; 2]> {
    let [ours, other] = sides;
    let (mut our_turns, mut other_turns) = (Vec::new(), Vec::new());
    for _ in 0..pace.rounds {
        our_turns.push(ours.turn(connections, pace.seconds)?);
        other_turns.push(other.turn(connections, pace.seconds)?);
    }
    Ok([our_turns, other_turns])
}

fn entity_url(server: &Server) -> Result<Url> {
    Url::parse(&format!("http://{}/entity/bench/{{key}}", server.addr))
}

fn per_second(turns: &[Turn]) -> f64 {
    median(turns.iter().map(|turn| turn.per_second))
}

fn p50_micros(turns: &[Turn]) -> f64 {
    median(turns.iter().map(|turn| turn.p50_micros))
}

/// Waits until a server uses no processor, so that its leftovers are not charged to the other side.
fn settle(server: &Server) -> Result<()> {
    const LOOK: Duration = Duration::from_millis(200);
    let mut used = server.cpu()?;
    for _ in 0..SETTLE_MAX.as_millis() / LOOK.as_millis() {
        std::thread::sleep(LOOK);
        let now = server.cpu()?;
        // One tick of the clock in which processor time is counted.
        if now - used <= Duration::from_millis(10) {
            return Ok(());
        }
        used = now;
    }
    println!("  {} does not come to rest", server.name);
    Ok(())
}
