//! One client: it asks for this and that, and notes what it is told.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::history::{Answer, Call, Operation, Tag, When};
use super::proxy::Door;
use super::requests::{Ask, Told};
use crate::http::Client;
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
            let ask = self.choose();
            self.ask(&ask)?;
        }
        Ok(self.log)
    }

    /// Reads every entity, until that works or patience ends.
    pub(super) fn read_all(mut self, patience: Duration) -> Result<Log, String> {
        let until = Instant::now() + patience;
        for key in 0..self.table.keys {
            while !self.ask(&Ask::One(key, Call::Get))? {
                if Instant::now() > until {
                    return Err(format!("key-{key} could not be read for {patience:?} after all had been mended"));
                }
            }
        }
        Ok(self.log)
    }

    fn value(&self) -> u64 {
        self.table.value.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn choose(&mut self) -> Ask {
        let key = self.random.index(self.table.keys);
        let kind = self.random.below(100);
        match kind {
            ..40 => return Ask::One(key, Call::Get),
            40..44 => return Ask::GetMany(self.some_keys()),
            44..47 => return Ask::PutMany(self.some_keys().into_iter().map(|key| (key, self.value())).collect()),
            _ => {}
        }
        let is_put = kind < 85;
        let when = match (self.random.below(10), self.tags.get(&key)) {
            (0..5, Some(tag)) => When::Is(*tag),
            (5..7, _) if is_put => When::Absent,
            (7, _) => When::Present,
            _ => When::Always,
        };
        let call = if is_put { Call::Put { value: self.value(), when } } else { Call::Delete { when } };
        Ask::One(key, call)
    }

    /// About half of all keys, and one at least.
    fn some_keys(&mut self) -> Vec<usize> {
        let mut keys: Vec<_> = (0..self.table.keys).collect();
        let certain = self.random.index(self.table.keys);
        keys.retain(|key| *key == certain || self.random.below(2) == 0);
        keys
    }

    /// Asks once; says whether there was an answer that says what happened.
    fn ask(&mut self, ask: &Ask) -> Result<bool, String> {
        let Some(address) = self.door.address() else {
            thread::sleep(PAUSE);
            return Ok(false);
        };
        let client = self.client.take().filter(|client| client.address() == address);
        let mut client = client.unwrap_or_else(|| Client::new(address).bearer(ADMIN_KEY));
        let called = self.table.began.elapsed();
        let answer = client.try_send(&ask.request());
        let answered = self.table.began.elapsed();
        self.client = Some(client);
        let calls = ask.calls();
        let told = match answer {
            Ok(answer) => ask.told(&answer).ok_or_else(|| format!("{ask:?} was answered {answer:?}"))?,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => vec![Told::Failed; calls.len()],
            Err(_) => vec![Told::What(Answer::Unknown); calls.len()],
        };
        if told.len() != calls.len() {
            return Err(format!("{ask:?} was answered for {} entities", told.len()));
        }
        let mut is_known = true;
        for ((key, call), told) in calls.into_iter().zip(told) {
            let Told::What(answer) = told else {
                self.log.failed += 1;
                is_known = false;
                continue;
            };
            is_known &= answer != Answer::Unknown;
            if let Answer::Found(_, tag) | Answer::Kept { tag, .. } = answer {
                self.tags.insert(key, tag);
            }
            let operation = Operation { client: self.number, called, answered, call, answer };
            self.log.histories.entry(key).or_default().push(operation);
        }
        self.table.answered.fetch_add(u64::from(is_known), Ordering::Relaxed);
        if !is_known {
            thread::sleep(PAUSE);
        }
        Ok(is_known)
    }
}
