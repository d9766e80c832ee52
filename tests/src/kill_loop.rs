//! The kill -9 loop: writers write, the server is killed in the middle, and after a restart every key is checked.
//!
//! Each key belongs to one writer, so what may be stored is known exactly: what was acknowledged last, or what the one
//! request in flight would have made of it. A map is one request: all of it happened, or none.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::http::{Client, Request, Response};
use crate::random::Random;
use crate::start::{ADMIN_KEY, Start};

/// The database that the writers write.
const DATABASE: &str = "killed";
/// When the server is killed, counted from the start of the load.
const KILL_MILLIS: std::ops::RangeInclusive<u64> = 20..=300;
/// The largest document.
const DOCUMENT_BYTES_MAX: u64 = 4_096;
/// The most keys in one map.
const MAP_KEYS_MAX: usize = 8;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program to start as `serve`.
    pub program: PathBuf,
    /// The data directory.
    pub data: PathBuf,
    /// How often the server is killed.
    pub cycles: u32,
    /// How many clients write at the same time.
    pub writers: usize,
    /// How many keys each of them has.
    pub keys: usize,
    /// Where the random numbers start.
    pub seed: u64,
}

/// What happened.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How often the server was killed.
    pub cycles: u32,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Requests without an answer that had happened nevertheless.
    pub applied: u64,
    /// Requests without an answer that had not happened.
    pub not_applied: u64,
    /// Keys that were checked after a restart.
    pub checked: u64,
    /// The longest restart.
    pub restart_max: Duration,
}

/// What is stored under one key: a document, which no other write has, and its version; or nothing.
type Stored = Option<(String, u64)>;

/// The keys of one writer and what it knows of them.
#[derive(Debug)]
struct Writer {
    number: usize,
    random: Random,
    /// By key.
    stored: Vec<Stored>,
    /// What the request in flight makes of some keys.
    in_flight: Vec<(usize, Option<String>)>,
    written: u64,
    acknowledged: u64,
}

/// Runs the loop; an error says what was lost, and how to see it again.
pub fn run(plan: &Plan, mut progress: impl FnMut(&Report)) -> Result<Report, String> {
    let start = Start::serve(&plan.program, &plan.data);
    let mut random = Random::new(plan.seed);
    let mut report = Report::default();
    let mut writers: Vec<_> = (0..plan.writers).map(|number| Writer::new(number, plan.keys, random.next())).collect();
    for _ in 0..plan.cycles {
        let server = restart(&start, &mut report)?;
        check(server.address(), &mut writers, &mut report)?;
        let millis = KILL_MILLIS.start() + random.below(KILL_MILLIS.end() - KILL_MILLIS.start() + 1);
        let begin = Barrier::new(plan.writers + 1);
        thread::scope(|scope| {
            let (begin, address) = (&begin, server.address());
            let load = writers.iter_mut().map(|writer| scope.spawn(move || writer.write(address, begin)));
            let load: Vec<_> = load.collect();
            begin.wait();
            // Not a wait for something: the instant of the crash.
            thread::sleep(Duration::from_millis(millis));
            server.kill();
            load.into_iter().try_for_each(|writer| writer.join().expect("a writer"))
        })?;
        report.cycles += 1;
        report.acknowledged += writers.iter_mut().map(|writer| std::mem::take(&mut writer.acknowledged)).sum::<u64>();
        progress(&report);
    }
    let server = restart(&start, &mut report)?;
    check(server.address(), &mut writers, &mut report)?;
    server.stop();
    Ok(report)
}

fn restart(start: &Start, report: &mut Report) -> Result<crate::server::Server, String> {
    let begun = Instant::now();
    let server = start.try_up().map_err(|ended| format!("no restart after kill {}: {ended:?}", report.cycles))?;
    report.restart_max = report.restart_max.max(begun.elapsed());
    Ok(server)
}

/// Compares every key of every writer with what is stored.
fn check(address: SocketAddr, writers: &mut [Writer], report: &mut Report) -> Result<(), String> {
    let mut client = Client::new(address).bearer(ADMIN_KEY);
    for writer in writers {
        let found: Vec<Stored> =
            (0..writer.stored.len()).map(|at| writer.read(&mut client, at)).collect::<Result<_, _>>()?;
        report.checked += found.len() as u64;
        let unanswered = !writer.in_flight.is_empty();
        match writer.explain(&found)? {
            true if unanswered => report.applied += 1,
            false if unanswered => report.not_applied += 1,
            _ => {}
        }
        writer.stored = found;
        writer.in_flight.clear();
    }
    Ok(())
}

impl Writer {
    fn new(number: usize, keys: usize, seed: u64) -> Self {
        let stored = vec![None; keys];
        Self { number, random: Random::new(seed), stored, in_flight: Vec::new(), written: 0, acknowledged: 0 }
    }

    fn key(&self, at: usize) -> String {
        format!("w{}-k{at}", self.number)
    }

    fn target(&self, at: usize) -> String {
        format!("/entity/{DATABASE}/{}", self.key(at))
    }

    /// A document that no other write has, in a spelling that only a byte for byte store keeps.
    fn document(&mut self) -> String {
        self.written += 1;
        let size = usize::try_from(self.random.below(DOCUMENT_BYTES_MAX)).unwrap_or_default();
        let (writer, number) = (self.number, self.written);
        format!(
            "{{ \"n\" :{number}.0e0,\"w\":{writer}, \"big\":{number}00000000000000000000007 ,\"x\":\"{:x<size$}\"}}",
            ""
        )
    }

    /// Whether what was found is what the request in flight makes of it; an error if it is neither that nor what was
    /// acknowledged.
    fn explain(&self, found: &[Stored]) -> Result<bool, String> {
        let text = |stored: &Stored| stored.as_ref().map(|(document, _)| document.clone());
        let touched = |at: usize| self.in_flight.iter().find(|(key, _)| *key == at).map(|(_, after)| after);
        let after = !self.in_flight.is_empty()
            && self.in_flight.iter().all(|(at, after)| found.get(*at).map(text).as_ref() == Some(after));
        for (at, (now, before)) in found.iter().zip(&self.stored).enumerate() {
            let explained = if after && touched(at).is_some() { true } else { now == before };
            if !explained {
                let (key, in_flight) = (self.key(at), touched(at));
                return Err(format!("{key}: found {now:.99?}, acknowledged {before:.99?}, in flight {in_flight:.99?}"));
            }
        }
        Ok(after)
    }

    fn read(&self, client: &mut Client, at: usize) -> Result<Stored, String> {
        let answer = client.try_send(&Request::new("GET", &self.target(at)));
        let answer = answer.map_err(|error| format!("{}: no answer: {error}", self.key(at)))?;
        self.stored(at, &answer)
    }

    fn stored(&self, at: usize, answer: &Response) -> Result<Stored, String> {
        match answer.status {
            200 => Ok(Some((answer.text().to_owned(), version(answer)))),
            404 => Ok(None),
            _ => Err(format!("{}: {answer:?}", self.key(at))),
        }
    }

    /// The version that the next write to a key makes.
    fn next_version(&self, at: usize) -> u64 {
        self.stored.get(at).and_then(Option::as_ref).map_or(1, |(_, version)| version + 1)
    }

    /// Writes until the server is gone. An error is an answer that should not be.
    fn write(&mut self, address: SocketAddr, begin: &Barrier) -> Result<(), String> {
        let mut client = Client::new(address).bearer(ADMIN_KEY);
        begin.wait();
        loop {
            let going_on = match self.random.below(10) {
                0 => self.read_own(&mut client)?,
                1 | 2 => self.delete(&mut client)?,
                3 => self.put_map(&mut client)?,
                _ => self.put(&mut client)?,
            };
            if !going_on {
                return Ok(());
            }
        }
    }

    /// A reader of its own writes sees the last one.
    fn read_own(&mut self, client: &mut Client) -> Result<bool, String> {
        let at = self.random.index(self.stored.len());
        let Ok(answer) = client.try_send(&Request::new("GET", &self.target(at))) else { return Ok(false) };
        let found = self.stored(at, &answer)?;
        if Some(&found) == self.stored.get(at) { Ok(true) } else { Err(format!("{}: read {found:.99?}", self.key(at))) }
    }

    fn put(&mut self, client: &mut Client) -> Result<bool, String> {
        let at = self.random.index(self.stored.len());
        let document = self.document();
        self.in_flight = vec![(at, Some(document.clone()))];
        let request = Request::new("PUT", &self.target(at)).body(&document);
        let Ok(answer) = client.try_send(&request) else { return Ok(false) };
        let next = self.next_version(at);
        if !matches!(answer.status, 200 | 201) || version(&answer) != next {
            return Err(format!("{}: a PUT of version {next}: {answer:?}", self.key(at)));
        }
        self.done(vec![(at, Some((document, next)))]);
        Ok(true)
    }

    fn delete(&mut self, client: &mut Client) -> Result<bool, String> {
        let at = self.random.index(self.stored.len());
        self.in_flight = vec![(at, None)];
        let request = Request::new("DELETE", &format!("/entity/{DATABASE}?key={}", self.key(at)));
        let Ok(answer) = client.try_send(&request) else { return Ok(false) };
        if answer.status != 200 {
            return Err(format!("{}: DELETE: {answer:?}", self.key(at)));
        }
        self.done(vec![(at, None)]);
        Ok(true)
    }

    fn put_map(&mut self, client: &mut Client) -> Result<bool, String> {
        let first = self.random.index(self.stored.len());
        let count = 1 + self.random.index(MAP_KEYS_MAX.min(self.stored.len()));
        let keys: Vec<_> = (0..count).map(|next| (first + next) % self.stored.len()).collect();
        let written: Vec<_> = keys.into_iter().map(|at| (at, self.document())).collect();
        let member = |(at, document): &(usize, String)| format!("\"{}\": {document}", self.key(*at));
        let body = format!("{{{}}}", written.iter().map(member).collect::<Vec<_>>().join(",\n"));
        self.in_flight = written.iter().map(|(at, document)| (*at, Some(document.clone()))).collect();
        let request = Request::new("PUT", &format!("/entity/{DATABASE}")).body(body);
        let Ok(answer) = client.try_send(&request) else { return Ok(false) };
        let stored: Vec<_> = written.into_iter().map(|(at, text)| (at, Some((text, self.next_version(at))))).collect();
        let versions =
            stored.iter().filter_map(|(at, after)| Some((self.key(*at), after.as_ref()?.1.into()))).collect();
        if answer.status != 200 || answer.json().get("versions") != Some(&serde_json::Value::Object(versions)) {
            return Err(format!("{}: a PUT of a map: {answer:?}", self.key(first)));
        }
        self.done(stored);
        Ok(true)
    }

    fn done(&mut self, stored: Vec<(usize, Stored)>) {
        self.in_flight.clear();
        self.acknowledged += 1;
        for (at, after) in stored {
            if let Some(slot) = self.stored.get_mut(at) {
                *slot = after;
            }
        }
    }
}

/// The version in an answer's tag, `"<version>-<write>"`; 0 where there is none.
fn version(answer: &Response) -> u64 {
    let version = answer.header("etag").and_then(|tag| tag.trim_matches('"').split('-').next()?.parse().ok());
    version.unwrap_or(0)
}
