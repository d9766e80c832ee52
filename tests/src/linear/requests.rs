//! What clients say to a main, and what its answers mean.

use serde_json::{Map, Value, json};

use super::history::{Answer, Call, Tag, When};
use crate::http::{Request, Response};

/// One request: about one entity, or about several at once, each for itself.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    One(usize, Call),
    GetMany(Vec<usize>),
    /// Entities and their new values.
    PutMany(Vec<(usize, u64)>),
}

/// What an answer says about one entity.
#[derive(Debug, Clone, Copy)]
pub(super) enum Told {
    /// This.
    What(Answer),
    /// Nothing was done, and nothing will be.
    Failed,
}

impl Ask {
    /// What it asks for of each entity.
    pub(super) fn calls(&self) -> Vec<(usize, Call)> {
        match self {
            Self::One(key, call) => vec![(*key, *call)],
            Self::GetMany(keys) => keys.iter().map(|key| (*key, Call::Get)).collect(),
            Self::PutMany(all) => {
                all.iter().map(|(key, value)| (*key, Call::Put { value: *value, when: When::Always })).collect()
            }
        }
    }

    pub(super) fn request(&self) -> Request {
        match self {
            Self::One(key, call) => one(&format!("/entity/linear/{}", name(*key)), *call),
            Self::GetMany(keys) => {
                let keys: Vec<_> = keys.iter().map(|key| name(*key)).collect();
                Request::new("POST", "/api/databases/linear/batch-get").body(json!({ "keys": keys }).to_string())
            }
            Self::PutMany(all) => {
                let members: Map<_, _> = all.iter().map(|(key, value)| (name(*key), json!(value))).collect();
                Request::new("PUT", "/entity/linear").body(Value::from(members).to_string())
            }
        }
    }

    /// Reads an answer, in the order of [`Ask::calls`]; `None` for one that has no place here.
    pub(super) fn told(&self, answer: &Response) -> Option<Vec<Told>> {
        let calls = self.calls();
        if let Some(told) = undone(answer) {
            return told_of_each(&calls, answer, told);
        }
        match self {
            Self::One(_, call) => Some(vec![Told::What(said(*call, answer)?)]),
            Self::GetMany(_) if answer.status == 200 => {
                let body = answer.json();
                let items = body.get("items")?.as_array()?;
                items.iter().map(|item| Some(Told::What(item_of_many(item)?))).collect()
            }
            Self::PutMany(all) if answer.status == 200 => {
                let body = answer.json();
                let tag = |key: usize| Tag::parse(body.get("etags")?.get(name(key))?.as_str()?);
                let kept = |tag: Tag| Told::What(Answer::Kept { tag, created: tag.version == 1 });
                all.iter().map(|(key, _)| tag(*key).map(kept)).collect()
            }
            Self::GetMany(_) | Self::PutMany(_) => None,
        }
    }
}

fn name(key: usize) -> String {
    format!("key-{key}")
}

/// What is there is replaced by a patch or by a put, in turns.
fn one(target: &str, call: Call) -> Request {
    let on = |request: Request, when: When| match when {
        When::Always => request,
        When::Absent => request.header("If-None-Match", "*"),
        When::Present => request.header("If-Match", "*"),
        When::Is(tag) => request.header("If-Match", &tag.to_string()),
    };
    match call {
        Call::Get => Request::new("GET", target),
        Call::Put { value, when: When::Present } if value % 2 == 0 => {
            let patch = Request::new("PATCH", target).header("Content-Type", "application/merge-patch+json");
            patch.body(value.to_string())
        }
        Call::Put { value, when } => on(Request::new("PUT", target), when).body(value.to_string()),
        Call::Delete { when } => on(Request::new("DELETE", target), when),
    }
}

fn error(answer: &Response) -> Option<String> {
    answer.json().get("error").and_then(Value::as_str).map(str::to_owned)
}

/// What a refusal says that is not about the entity.
fn undone(answer: &Response) -> Option<Told> {
    match (answer.status, error(answer)?.as_str()) {
        (503, "outcome_unknown") => Some(Told::What(Answer::Unknown)),
        (409 | 503, _) => Some(Told::Failed),
        _ => None,
    }
}

/// The same for each entity of a request, as far as the answer tells them apart.
fn told_of_each(calls: &[(usize, Call)], answer: &Response, told: Told) -> Option<Vec<Told>> {
    let body = answer.json();
    let Some(results) = body.get("results") else { return Some(vec![told; calls.len()]) };
    let each = |(key, _): &(usize, Call)| match results.get(name(*key)).map(Value::as_str) {
        Some(Some("outcome_unknown")) => Some(Told::What(Answer::Unknown)),
        Some(code) => code.map(|_| Told::Failed),
        // It was written, and its tag is not told.
        None => body.get("versions")?.get(name(*key)).map(|_| Told::What(Answer::Unknown)),
    };
    calls.iter().map(each).collect()
}

fn said(call: Call, answer: &Response) -> Option<Answer> {
    let tag = || Tag::parse(answer.header("etag")?);
    Some(match (call, answer.status) {
        (Call::Get, 200) => Answer::Found(answer.text().parse().ok()?, tag()?),
        (Call::Get, 404) if error(answer)? == "not_found" => Answer::Missing,
        (Call::Put { .. }, 200 | 201) => Answer::Kept { tag: tag()?, created: answer.status == 201 },
        (Call::Put { when: When::Present, .. }, 404) if error(answer)? == "not_found" => Answer::Refused,
        (Call::Delete { .. }, 200) => Answer::Removed { existed: answer.json().get("existed")?.as_bool()? },
        (Call::Put { .. } | Call::Delete { .. }, 412) => Answer::Refused,
        _ => return None,
    })
}

fn item_of_many(item: &Value) -> Option<Answer> {
    match item.get("found")?.as_bool()? {
        true => Some(Answer::Found(item.get("document")?.as_u64()?, Tag::parse(item.get("etag")?.as_str()?)?)),
        false => Some(Answer::Missing),
    }
}
