//! The texts that a schema is made of, and what their references mean.
//!
//! Base addresses, `$id`, anchors and pointers are resolved here as boon resolves them, before boon sees a text: a
//! reference that leaves the store never gets that far.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use boon::Draft;
use delta_core::name::SchemaId;
use delta_core::validator::{SCHEMA_BASE, SchemaLookup};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use url::Url;

use crate::config::Config;
use crate::dialect::{self, Position};

/// The most `$id`s in one text: boon looks each one up among all others.
const IDS_MAX: usize = 1024;

/// The longest pointer to a subschema, in bytes: boon keeps and compares one for each.
const POINTER_BYTES_MAX: usize = 8192;

/// One text.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) url: Url,
    pub(crate) value: Arc<Value>,
    pub(crate) draft: Draft,
    parts: BTreeMap<String, Part>,
}

/// A part of a text with an address of its own.
#[derive(Debug)]
struct Part {
    id: Url,
    anchors: HashMap<String, String>,
    dynamic: BTreeSet<String>,
}

/// Where a reference leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A place in a text: its number, and a pointer.
    Place(usize, String),
    /// A meta-schema that boon carries.
    MetaSchema,
}

/// Everything that was loaded.
pub(crate) struct Sources<'a> {
    pub(crate) list: Vec<Source>,
    /// How many references led to schemas that the store did not give: it may fetch them and compile again.
    pub(crate) missing: usize,
    lookup: &'a SchemaLookup<'a>,
    limits: &'a Config,
}

impl<'a> Sources<'a> {
    pub(crate) fn new(limits: &'a Config, lookup: &'a SchemaLookup<'a>) -> Self {
        Self { list: Vec::new(), missing: 0, lookup, limits }
    }

    /// Adds a text; its address is free.
    pub(crate) fn add(&mut self, url: Url, value: Value) -> Result<usize, String> {
        if self.list.len() >= self.limits.schemas_max {
            return Err(format!("reaches more schemas than the limit of {} (schemas_max)", self.limits.schemas_max));
        }
        let depth_max = self.limits.schema_depth_max;
        if deeper_than(&value, depth_max) {
            return Err(format!("is nested deeper than the limit of {depth_max} levels (schema_depth_max)"));
        }
        let draft = self.draft(&url, &value, &mut HashSet::new())?;
        let mut parts = BTreeMap::new();
        collect(draft, &value, &url, String::new(), "", &mut parts)?;
        self.list.push(Source { url, value: Arc::new(value), draft, parts });
        Ok(self.list.len() - 1)
    }

    /// The text at an address, loaded if it is a schema of the store.
    fn load(&mut self, url: &Url) -> Result<usize, String> {
        if let Some(known) = self.list.iter().position(|source| source.url == *url) {
            return Ok(known);
        }
        let value = self.fetch(url)?;
        self.add(url.clone(), value).map_err(|problem| format!("refers to {url}, which {problem}"))
    }

    fn fetch(&mut self, url: &Url) -> Result<Value, String> {
        let Some(id) = schema_id(url) else {
            return Err(format!(
                "refers to {}, and only schemas of the store can be referred to, as {SCHEMA_BASE}<schema id>",
                crate::message::quoted(url.as_str())
            ));
        };
        let Some(document) = (self.lookup)(&id) else {
            self.missing += 1;
            return Err(format!("refers to schema {id}, which does not exist"));
        };
        let most = self.limits.schema_bytes_max;
        if document.bytes().len() > most {
            return Err(format!(
                "refers to schema {id}, which is larger than the limit of {most} bytes (schema_bytes_max)"
            ));
        }
        document.to_value().map_err(|error| format!("refers to schema {id}: {error}"))
    }

    /// The draft that `$schema` names, through meta-schemas of the store if it names one.
    fn draft(&mut self, url: &Url, value: &Value, seen: &mut HashSet<Url>) -> Result<Draft, String> {
        let Some(name) = value.get("$schema").and_then(Value::as_str) else { return Ok(Draft::V7) };
        if let Some(draft) = Draft::from_url(name) {
            return Ok(draft);
        }
        let unknown = || {
            let name = crate::message::quoted(name);
            format!("has a $schema, {name}, that is neither draft-04, -06, -07, 2019-09 nor 2020-12 nor of the store")
        };
        let meta = Url::parse(name.split('#').next().unwrap_or_default()).map_err(|_| unknown())?;
        if meta == *url || !seen.insert(meta.clone()) || seen.len() > self.limits.schemas_max || is_metaschema(&meta) {
            return Err(unknown());
        }
        // Only its own `$schema` counts, and it need not compile.
        let known = self.list.iter().position(|source| source.url == meta);
        if let Some(source) = known.and_then(|known| self.list.get(known)) {
            return Ok(source.draft);
        }
        if schema_id(&meta).is_none() {
            return Err(unknown());
        }
        let value = self.fetch(&meta)?;
        self.draft(&meta, &value, seen)?;
        let loaded = self.add(meta, value)?;
        self.list.get(loaded).map(|source| source.draft).ok_or_else(unknown)
    }

    /// Where a reference that stands at `pointer` leads.
    pub(crate) fn resolve(&mut self, source: usize, pointer: &str, reference: &str) -> Result<Target, String> {
        let not_found = || format!("refers to {}, which is not there", crate::message::quoted(reference));
        let here = self.list.get(source).ok_or_else(not_found)?;
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let fragment = percent_decode_str(fragment).decode_utf8().map_err(|_| not_found())?;
        let base = here.part(pointer).ok_or_else(not_found)?.1;
        let url = if address.is_empty() { base.id.clone() } else { base.id.join(address).map_err(|_| not_found())? };
        let local = if url == here.url {
            here.parts.get_key_value("")
        } else {
            here.parts.iter().find(|(_, part)| part.id == url)
        };
        if let Some((at, part)) = local {
            return part.place(at, &fragment).map(|pointer| Target::Place(source, pointer)).ok_or_else(not_found);
        }
        if is_metaschema(&url) {
            return Ok(Target::MetaSchema);
        }
        let other = self.load(&url)?;
        let root = self.list.get(other).and_then(|source| source.parts.get("")).ok_or_else(not_found)?;
        root.place("", &fragment).map(|pointer| Target::Place(other, pointer)).ok_or_else(not_found)
    }

    /// Makes a place that no keyword leads to a schema: what it names counts from now on.
    pub(crate) fn adopt(&mut self, source: usize, pointer: &str) -> Result<(), String> {
        let Some(here) = self.list.get_mut(source).filter(|here| !dialect::is_subschema(here.draft, pointer)) else {
            return Ok(());
        };
        let value = here.value.clone();
        let Some(schema) = value.pointer(pointer) else { return Ok(()) };
        let Some((at, base)) = here.part(pointer).map(|(at, part)| (at.to_owned(), part.id.clone())) else {
            return Ok(());
        };
        collect(here.draft, schema, &base, pointer.to_owned(), &at, &mut here.parts)
    }
}

impl Source {
    /// The part that a place belongs to, and where that part starts.
    fn part(&self, pointer: &str) -> Option<(&str, &Part)> {
        let mut at = pointer;
        loop {
            if let Some((at, part)) = self.parts.get_key_value(at) {
                return Some((at, part));
            }
            at = at.rsplit_once('/')?.0;
        }
    }

    /// Where the part starts that a place belongs to.
    pub(crate) fn part_pointer(&self, pointer: &str) -> &str {
        self.part(pointer).map_or("", |(at, _)| at)
    }

    /// The dynamic anchors of the part that starts at a place.
    pub(crate) fn dynamic_anchors(&self, pointer: &str) -> Vec<(String, String)> {
        let Some(part) = self.parts.get(pointer) else { return Vec::new() };
        let places = part.dynamic.iter().filter_map(|name| Some((name.clone(), part.anchors.get(name)?.clone())));
        places.collect()
    }
}

impl Part {
    fn new(id: Url) -> Self {
        Self { id, anchors: HashMap::new(), dynamic: BTreeSet::new() }
    }

    fn place(&self, at: &str, fragment: &str) -> Option<String> {
        if fragment.is_empty() || fragment.starts_with('/') {
            return Some(format!("{at}{fragment}"));
        }
        self.anchors.get(fragment).cloned()
    }
}

/// Collects the parts and anchors of a schema and of every subschema; `of` is where the part starts that it
/// belongs to.
fn collect(
    draft: Draft,
    schema: &Value,
    base: &Url,
    pointer: String,
    of: &str,
    parts: &mut BTreeMap<String, Part>,
) -> Result<(), String> {
    if pointer.is_empty() && !parts.contains_key("") {
        parts.insert(String::new(), Part::new(base.clone()));
    }
    if pointer.len() > POINTER_BYTES_MAX {
        let place = crate::message::shortened(&pointer);
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

/// The schema of the store that an address names.
fn schema_id(url: &Url) -> Option<SchemaId> {
    #[cfg(test)]
    if let Some(id) = crate::suite_tests::schema_id(url.as_str()) {
        return Some(id);
    }
    url.as_str().strip_prefix(SCHEMA_BASE).and_then(|id| SchemaId::parse(id).ok())
}

fn is_metaschema(url: &Url) -> bool {
    url.host_str() == Some("json-schema.org") && matches!(url.scheme(), "http" | "https")
}

fn deeper_than(value: &Value, levels: usize) -> bool {
    let Some(left) = levels.checked_sub(1) else { return value.is_array() || value.is_object() };
    match value {
        Value::Array(items) => items.iter().any(|item| deeper_than(item, left)),
        Value::Object(members) => members.values().any(|member| deeper_than(member, left)),
        _ => false,
    }
}
