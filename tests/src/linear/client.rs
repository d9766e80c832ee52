//! One client: it asks for this and that, and notes what it is told.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::history::{Answer, Call, Operation, Tag, When};
use super::proxy::Door;
use serde_json::Value;

use crate::http::{Client, Request, Response};
use crate::random::Random;
use crate::start::ADMIN_KEY;

/// How long a client waits when nobody serves it.
const PAUSE: Duration = Duration::from_millis(5);
/// What all clients share.
#[derive(Debug)]
pub(super) struct Table {
    /// The mains, of which each client asks one.
    pub(super) doors: Vec<Door>,
    pub(super) keys: usize,
    /// When the clock began.
    pub(super) began: Instant,
    /// The last value that was written.
    pub(super) value: AtomicU64,
    /// How many requests were answered.
    pub(super) answered: AtomicU64,
    pub(super) stop: AtomicBool,
}

/// What one client saw.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// By entity.
    pub(super) histories: BTreeMap<usize, Vec<Operation>>,
    /// Requests that failed for certain.
    pub(super) failed: u64,
}

/// A client at its main.
#[derive(Debug)]
pub(super) struct Caller<'a> {
    table: &'a Table,
    number: usize,
    door: &'a Door,
    client: Option<Client>,
    random: Random,
    /// The last version of each entity that it heard of.
    tags: BTreeMap<usize, Tag>,
    log: Log,
}

impl<'a> Caller<'a> {
    pub(super) fn new(table: &'a Table, number: usize, seed: u64) -> Option<Self> {
        let door = table.doors.get(number % table.doors.len().max(1))?;
        let (random, tags) = (Random::new(seed), BTreeMap::new());
        Some(Self { table, number, door, client: None, random, tags, log: Log::default() })
    }

    /// Asks until it is told to stop; an error is an answer that no client can make sense of.
    pub(super) fn run(mut self) -> Result<Log, String> {
        while !self.table.stop.load(Ordering::Relaxed) {
            let key = self.random.index(self.table.keys);
            let call = self.choose(key);
            self.ask(key, call)?;
        }
        Ok(self.log)
    }

    /// Reads every entity, until that works or patience ends.
    pub(super) fn read_all(mut self, patience: Duration) -> Result<Log, String> {
        let until = Instant::now() + patience;
        for key in 0..self.table.keys {
            while !self.ask(key, Call::Get)? {
                if Instant::now() > until {
                    return Err(format!("key-{key} could not be read for {patience:?} after all had been mended"));
                }
            }
        }
        Ok(self.log)
    }

    fn choose(&mut self, key: usize) -> Call {
        let kind = self.random.below(100);
        if kind < 45 {
            return Call::Get;
        }
        let when = match (self.random.below(10), self.tags.get(&key)) {
            (0..5, Some(tag)) => When::Is(*tag),
            (5..7, _) if kind < 80 => When::Absent,
            _ => When::Always,
        };
        match kind {
            ..85 => Call::Put { value: self.table.value.fetch_add(1, Ordering::Relaxed) + 1, when },
            _ => Call::Delete { when },
        }
    }

    /// Asks once; says whether there was an answer that says what happened.
    fn ask(&mut self, key: usize, call: Call) -> Result<bool, String> {
        let Some(address) = self.door.address() else {
            thread::sleep(PAUSE);
            return Ok(false);
        };
        let client = self.client.take().filter(|client| client.address() == address);
        let mut client = client.unwrap_or_else(|| Client::new(address).bearer(ADMIN_KEY));
        let called = self.table.began.elapsed();
        let answer = client.try_send(&request(key, call));
        let answered = self.table.began.elapsed();
        self.client = Some(client);
        let told = match answer {
            Ok(answer) => told(call, &answer).ok_or_else(|| format!("{call:?} was answered {answer:?}"))?,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Told::Failed,
            Err(_) => Told::What(Answer::Unknown),
        };
        let Told::What(answer) = told else {
            self.log.failed += 1;
            thread::sleep(PAUSE);
            return Ok(false);
        };
        if let Answer::Found(_, tag) | Answer::Kept { tag, .. } = answer {
            self.tags.insert(key, tag);
        }
        let operation = Operation { client: self.number, called, answered, call, answer };
        self.log.histories.entry(key).or_default().push(operation);
        let is_known = answer != Answer::Unknown;
        self.table.answered.fetch_add(u64::from(is_known), Ordering::Relaxed);
        Ok(is_known)
    }
}

/// What an answer says.
enum Told {
    /// This.
    What(Answer),
    /// Nothing was done, and nothing will be.
    Failed,
}

fn request(key: usize, call: Call) -> Request {
    let target = format!("/entity/linear/key-{key}");
    let on = |request: Request, when: When| match when {
        When::Always => request,
        When::Absent => request.header("If-None-Match", "*"),
        When::Is(tag) => request.header("If-Match", &tag.to_string()),
    };
    match call {
        Call::Get => Request::new("GET", &target),
        Call::Put { value, when } => on(Request::new("PUT", &target), when).body(value.to_string()),
        Call::Delete { when } => on(Request::new("DELETE", &target), when),
    }
}

/// Reads an answer; `None` for one that has no place here.
fn told(call: Call, answer: &Response) -> Option<Told> {
    let tag = || Tag::parse(answer.header("etag")?);
    let text = |member: &str| answer.json().get(member).and_then(Value::as_str).map(str::to_owned);
    let what = match (call, answer.status) {
        (Call::Get, 200) => Answer::Found(answer.text().parse().ok()?, tag()?),
        (Call::Get, 404) if text("error")? == "not_found" => Answer::Missing,
        (Call::Put { .. }, 200 | 201) => Answer::Kept { tag: tag()?, created: answer.status == 201 },
        (Call::Delete { .. }, 200) => Answer::Removed { existed: answer.json().get("existed")?.as_bool()? },
        (Call::Put { .. } | Call::Delete { .. }, 412) => Answer::Refused,
        (_, 503) if text("error")? == "outcome_unknown" => Answer::Unknown,
        (_, 409 | 503 | 507) => return Some(Told::Failed),
        _ => return None,
    };
    Some(Told::What(what))
}
