//! The texts that a schema is made of, and what their references mean.
//!
//! Base addresses, `$id`, anchors and pointers are resolved here as boon resolves them, before boon sees a text: a
//! reference that leaves the store never gets that far.

use std::collections::HashSet;
use std::sync::Arc;

use boon::Draft;
use delta_core::name::SchemaId;
use delta_core::validator::{SCHEMA_BASE, SchemaLookup};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use url::Url;

use crate::config::Config;
use crate::dialect;
use crate::message;
use crate::parts::{Part, Parts, collect};

/// One text.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) url: Url,
    pub(crate) value: Arc<Value>,
    pub(crate) draft: Draft,
    parts: Parts,
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
        let mut parts = Parts::new();
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
                message::quoted(url.as_str())
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
            let name = message::quoted(name);
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
        let not_found = || format!("refers to {}, which is not there", message::quoted(reference));
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
