//! What may be stored, going by the answers alone: an acknowledged write is, a refused one is not, and of one without an
//! answer, or whose outcome is said to be unknown, nobody knows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::script::{Operation, Thing};
use crate::http::{Client, Request, Response};

/// What a document is, or nothing.
type Stored = Option<Value>;

/// What became of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was acknowledged.
    Done,
    /// It was refused: nothing of it has happened.
    Refused,
    /// Part of it was acknowledged, and part refused.
    Partly,
    /// It may have happened.
    Unknown,
}

/// For each thing of a script, all that it may be.
#[derive(Debug, Clone, Default)]
pub struct Ledger(BTreeMap<Thing, Vec<Stored>>);

impl Ledger {
    /// Of an empty store.
    pub fn new(script: &[Operation]) -> Self {
        let things = script.iter().flat_map(|operation| &operation.after);
        Self(things.map(|(thing, _)| (thing.clone(), vec![None])).collect())
    }

    /// Notes an answer, or that there was none.
    pub fn note(&mut self, operation: &Operation, answer: Option<&Response>) -> Outcome {
        let (mut done, mut unknown, mut refused) = (false, false, false);
        for (thing, after) in &operation.after {
            let outcome = answer.map_or(Outcome::Unknown, |answer| outcome(thing, answer));
            let may_be = self.0.entry(thing.clone()).or_default();
            match outcome {
                Outcome::Done => *may_be = vec![after.clone()],
                Outcome::Unknown => may_be.push(after.clone()),
                Outcome::Refused | Outcome::Partly => {}
            }
            done |= outcome == Outcome::Done;
            unknown |= outcome == Outcome::Unknown;
            refused |= outcome == Outcome::Refused;
        }
        match (done, unknown, refused) {
            (_, true, _) => Outcome::Unknown,
            (true, false, false) => Outcome::Done,
            (true, false, true) => Outcome::Partly,
            _ => Outcome::Refused,
        }
    }

    /// Reads everything; an error for each thing that is not what it may be.
    pub fn check(&self, client: &mut Client) -> Result<(), String> {
        let mut wrong = Vec::new();
        for (thing, may_be) in &self.0 {
            match thing.read(client) {
                Ok(found) if may_be.contains(&found) => {}
                Ok(found) => wrong.push(format!("{thing:?} is {found:.99?}, and may be {may_be:.99?}")),
                Err(error) => wrong.push(format!("{thing:?} may be {may_be:.99?}: {error}")),
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n  ")) }
    }

    /// The keys that are listed are those that can be read.
    pub fn check_lists(&self, client: &mut Client) -> Result<(), String> {
        let databases: BTreeSet<_> = self.entities().map(|(database, _)| database).collect();
        for database in databases {
            let target = format!("/api/databases/{database}/keys?limit=1000");
            let answer = client.try_send(&Request::new("GET", &target)).map_err(|error| error.to_string())?;
            let items = if answer.status == 404 { Vec::new() } else { items(&answer)? };
            let listed: BTreeSet<&str> = items.iter().filter_map(|item| item.get("key")?.as_str()).collect();
            for (_, key) in self.entities().filter(|(of, _)| *of == database) {
                let there = Thing::Entity(database, key.to_owned()).read(client)?.is_some();
                if there != listed.contains(key) {
                    return Err(format!("{database}/{key} is there: {there}; listed: {listed:?}"));
                }
            }
        }
        Ok(())
    }

    fn entities(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.keys().filter_map(|thing| match thing {
            Thing::Entity(database, key) => Some((*database, key.as_str())),
            _ => None,
        })
    }
}

fn items(answer: &Response) -> Result<Vec<Value>, String> {
    let items = answer.json().get("items").and_then(Value::as_array).cloned();
    items.filter(|_| answer.status == 200).ok_or_else(|| format!("not a list: {answer:?}"))
}

/// What an answer says of one of the things that the request was about.
fn outcome(thing: &Thing, answer: &Response) -> Outcome {
    if answer.status < 300 {
        return Outcome::Done;
    }
    let body = answer.json();
    let code = match thing {
        // A map that was written in part says it for each key.
        Thing::Entity(_, key) if body.get("results").is_some() => {
            if body.get("versions").is_some_and(|versions| versions.get(key).is_some()) {
                return Outcome::Done;
            }
            body.get("results").and_then(|results| results.get(key)).cloned()
        }
        _ => body.get("error").cloned(),
    };
    let code = code.unwrap_or_else(|| panic!("{thing:?}: an answer that says nothing of it: {answer:?}"));
    if code == "outcome_unknown" { Outcome::Unknown } else { Outcome::Refused }
}
