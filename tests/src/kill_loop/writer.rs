//! One writer of the loop: its keys, and what it knows of them.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::{Crash, Plan};
use crate::http::{Client, Request, Response};
use crate::random::Random;
use crate::start::ADMIN_KEY;
use crate::storages::Storage;

/// The database that the writers write.
const DATABASE: &str = "killed";
/// The largest document.
const DOCUMENT_BYTES_MAX: u64 = 4_096;
/// The most keys in one map.
const MAP_KEYS_MAX: usize = 8;

/// What is stored under one key: a document, which no other write has, and its version; or nothing.
pub(super) type Stored = Option<(String, u64)>;

/// The keys of one writer and what it knows of them.
#[derive(Debug)]
pub(super) struct Writer {
    number: usize,
    random: Random,
    /// Whether a map is written whole or not at all.
    is_atomic: bool,
    /// Whether the server may find before its end that it cannot write.
    may_fail: bool,
    /// By key.
    pub(super) stored: Vec<Stored>,
    /// What the request in flight makes of some keys.
    pub(super) in_flight: Vec<(usize, Option<String>)>,
    written: u64,
    pub(super) acknowledged: u64,
}

impl Writer {
    pub(super) fn new(number: usize, plan: &Plan, seed: u64) -> Self {
        Self {
            number,
            random: Random::new(seed),
            is_atomic: plan.storage == Storage::Embedded,
            may_fail: !matches!(plan.crash, Crash::Kill),
            stored: vec![None; plan.keys],
            in_flight: Vec::new(),
            written: 0,
            acknowledged: 0,
        }
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
    pub(super) fn explain(&self, found: &[Stored]) -> Result<bool, String> {
        let text = |stored: &Stored| stored.as_ref().map(|(document, _)| document.clone());
        let touched = |at: usize| self.in_flight.iter().find(|(key, _)| *key == at).map(|(_, after)| after);
        let after = !self.in_flight.is_empty()
            && self.in_flight.iter().all(|(at, after)| found.get(*at).map(text).as_ref() == Some(after));
        for (at, (now, before)) in found.iter().zip(&self.stored).enumerate() {
            let explained = match touched(at) {
                Some(_) if after => true,
                Some(after) if !self.is_atomic && text(now) == *after => true,
                _ => now == before,
            };
            if !explained {
                let (key, in_flight) = (self.key(at), touched(at));
                return Err(format!("{key}: found {now:.99?}, acknowledged {before:.99?}, in flight {in_flight:.99?}"));
            }
        }
        Ok(after)
    }

    pub(super) fn read(&self, client: &mut Client, at: usize) -> Result<Stored, String> {
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
    pub(super) fn write(
        &mut self,
        address: SocketAddr,
        begin: &Barrier,
        acknowledged: &AtomicU64,
    ) -> Result<(), String> {
        let mut client = Client::new(address).bearer(ADMIN_KEY);
        begin.wait();
        loop {
            let before = self.acknowledged;
            let going_on = match self.random.below(10) {
                0 => self.read_own(&mut client)?,
                1 | 2 => self.delete(&mut client)?,
                3 => self.put_map(&mut client)?,
                _ => self.put(&mut client)?,
            };
            acknowledged.fetch_add(self.acknowledged - before, Ordering::Relaxed);
            if !going_on {
                return Ok(());
            }
        }
    }

    /// A reader of its own writes sees the last one.
    fn read_own(&mut self, client: &mut Client) -> Result<bool, String> {
        let at = self.random.index(self.stored.len());
        let Ok(answer) = client.try_send(&Request::new("GET", &self.target(at))) else { return Ok(false) };
        if self.has_failed(&answer) {
            return Ok(false);
        }
        let found = self.stored(at, &answer)?;
        if Some(&found) == self.stored.get(at) { Ok(true) } else { Err(format!("{}: read {found:.99?}", self.key(at))) }
    }

    fn put(&mut self, client: &mut Client) -> Result<bool, String> {
        let at = self.random.index(self.stored.len());
        let document = self.document();
        self.in_flight = vec![(at, Some(document.clone()))];
        let request = Request::new("PUT", &self.target(at)).body(&document);
        let Ok(answer) = client.try_send(&request) else { return Ok(false) };
        if self.has_failed(&answer) {
            return Ok(false);
        }
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
        if self.has_failed(&answer) {
            return Ok(false);
        }
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
        if self.has_failed(&answer) {
            return Ok(false);
        }
        let stored: Vec<_> = written.into_iter().map(|(at, text)| (at, Some((text, self.next_version(at))))).collect();
        let versions =
            stored.iter().filter_map(|(at, after)| Some((self.key(*at), after.as_ref()?.1.into()))).collect();
        if answer.status != 200 || answer.json().get("versions") != Some(&serde_json::Value::Object(versions)) {
            return Err(format!("{}: a PUT of a map: {answer:?}", self.key(first)));
        }
        self.done(stored);
        Ok(true)
    }

    /// Whether an answer says that the disk is gone; notes what it says of the request that was in flight.
    fn has_failed(&mut self, answer: &Response) -> bool {
        if !self.may_fail || answer.status < 500 {
            return false;
        }
        let body = answer.json();
        let of = |part: &str, key: &str| body.get(part).and_then(|part| part.get(key)).cloned();
        for (at, after) in std::mem::take(&mut self.in_flight) {
            let key = self.key(at);
            if let (Some(version), Some(text)) = (of("versions", &key).as_ref().and_then(Value::as_u64), &after) {
                self.stored.iter_mut().skip(at).take(1).for_each(|slot| *slot = Some((text.clone(), version)));
                continue;
            }
            // What was refused for certain has not happened.
            if of("results", &key).or_else(|| body.get("error").cloned()).is_some_and(|code| code == "outcome_unknown")
            {
                self.in_flight.push((at, after));
            }
        }
        true
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
