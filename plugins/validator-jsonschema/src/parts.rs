//! The parts of a text that have addresses of their own, and the anchors in them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use boon::Draft;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use url::Url;

use crate::dialect::{self, Position};
use crate::message;

/// The most `$id`s in one text: boon looks each one up among all others.
const IDS_MAX: usize = 1024;

/// The longest pointer to a subschema, in bytes: boon keeps and compares one for each.
const POINTER_BYTES_MAX: usize = 8192;

/// The parts of a text, by where they start.
pub(crate) type Parts = BTreeMap<String, Part>;

/// A part of a text with an address of its own.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) id: Url,
    pub(crate) anchors: HashMap<String, String>,
    pub(crate) dynamic: BTreeSet<String>,
}

impl Part {
    fn new(id: Url) -> Self {
        Self { id, anchors: HashMap::new(), dynamic: BTreeSet::new() }
    }

    /// Where a fragment leads within the part, which starts at `at`.
    pub(crate) fn place(&self, at: &str, fragment: &str) -> Option<String> {
        if fragment.is_empty() || fragment.starts_with('/') {
            return Some(format!("{at}{fragment}"));
        }
        self.anchors.get(fragment).cloned()
    }
}

/// Collects the parts and anchors of a schema and of every subschema; `of` is where the part starts that it
/// belongs to.
pub(crate) fn collect(
    draft: Draft,
    schema: &Value,
    base: &Url,
    pointer: String,
    of: &str,
    parts: &mut Parts,
) -> Result<(), String> {
    if pointer.is_empty() && !parts.contains_key("") {
        parts.insert(String::new(), Part::new(base.clone()));
    }
    if pointer.len() > POINTER_BYTES_MAX {
        let place = message::shortened(&pointer);
        return Err(format!(
            "has names that make a pointer longer than the limit of {POINTER_BYTES_MAX} bytes, {place}"
        ));
    }
    let Value::Object(members) = schema else { return Ok(()) };
    let id = identifier(draft, members);
    let named = match id.filter(|id| !id.is_empty()) {
        Some(id) => Some(base.join(id).map_err(|_| format!("has an $id that is no address at {pointer:?}"))?),
        None => None,
    };
    let (base, of) = match &named {
        Some(id) => (id, pointer.as_str()),
        None => (base, of),
    };
    if let Some(id) = &named {
        let taken = parts.iter().any(|(at, part)| part.id == *id && *at != pointer);
        if taken || parts.len() > IDS_MAX {
            let problem = match taken {
                true => "the $id of another part".into(),
                false => format!("more than the limit of {IDS_MAX} $ids"),
            };
            return Err(format!("has {problem} at {pointer:?}"));
        }
        parts.insert(pointer.clone(), Part::new(id.clone()));
    }
    if let Some(part) = parts.get_mut(of) {
        anchors(draft, members, &pointer, part)?;
    }
    for (keyword, value) in members {
        for (token, schema) in subschemas(draft, keyword, value) {
            collect(draft, schema, base, format!("{pointer}/{token}"), of, parts)?;
        }
    }
    Ok(())
}

/// The address a schema gives itself, without its fragment; before 2019-09 a `$ref` hides it.
fn identifier(draft: Draft, members: &Map<String, Value>) -> Option<&str> {
    if draft < Draft::V2019_09 && members.contains_key("$ref") {
        return None;
    }
    members.get(dialect::id_keyword(draft))?.as_str()?.split('#').next()
}

fn anchors(draft: Draft, members: &Map<String, Value>, pointer: &str, part: &mut Part) -> Result<(), String> {
    let mut add = |name: &str| match part.anchors.insert(name.into(), pointer.into()) {
        Some(other) if other != pointer => Err(format!("has the anchor {name:?} twice, at {other:?} and {pointer:?}")),
        _ => Ok(()),
    };
    if draft < Draft::V2019_09 {
        let id = members.get(dialect::id_keyword(draft)).filter(|_| !members.contains_key("$ref"));
        let fragment =
            id.and_then(Value::as_str).and_then(|id| id.split_once('#')).map_or("", |(_, fragment)| fragment);
        let fragment = percent_decode_str(fragment).decode_utf8_lossy();
        return if fragment.is_empty() || fragment.starts_with('/') { Ok(()) } else { add(&fragment) };
    }
    if let Some(name) = members.get("$anchor").and_then(Value::as_str) {
        add(name)?;
    }
    if let Some(name) = members.get("$dynamicAnchor").and_then(Value::as_str).filter(|_| draft >= Draft::V2020_12) {
        add(name)?;
        part.dynamic.insert(name.into());
    }
    Ok(())
}

/// The subschemas at one keyword, each with the rest of its pointer.
fn subschemas<'v>(draft: Draft, keyword: &str, value: &'v Value) -> Vec<(String, &'v Value)> {
    let Some(position) = dialect::position(draft, keyword) else { return Vec::new() };
    let list = matches!(position, Position::List | Position::ItselfOrList);
    match value {
        Value::Array(items) if list => {
            items.iter().enumerate().map(|(at, item)| (format!("{keyword}/{at}"), item)).collect()
        }
        Value::Object(members) if position == Position::Members => {
            members.iter().map(|(name, item)| (format!("{keyword}/{}", dialect::escaped(name)), item)).collect()
        }
        _ if matches!(position, Position::Itself | Position::ItselfOrList) => vec![(keyword.to_owned(), value)],
        _ => Vec::new(),
    }
}
