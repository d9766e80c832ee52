//! Follows a schema to everything it reaches, within limits.

use std::collections::HashMap;
use std::sync::Arc;

use boon::Draft;
use delta_core::validator::SchemaLookup;
use delta_core::{Error, Result};
use serde_json::{Map, Value};
use url::Url;

use crate::config::Config;
use crate::dialect;
use crate::graph::{Graph, Text, refusal};
use crate::message;
use crate::node::{Node, NodeId};
use crate::pattern::{Patterns, Price};
use crate::read::{self, Here};
use crate::sources::{Sources, Target};

/// The most bytes of all pointers together: boon compares each with all others.
const POINTERS_BYTES_MAX: usize = 1 << 20;
/// The number of a text that stands for all meta-schemas.
const META: usize = usize::MAX;

/// Follows a schema to everything it reaches.
pub(crate) struct Builder<'a> {
    sources: Sources<'a>,
    patterns: Patterns,
    limits: &'a Config,
    queue: Vec<(usize, String)>,
    places: HashMap<(usize, String), NodeId>,
    pointers_bytes: usize,
    /// The schema's own text.
    root: usize,
    /// The first reference to a schema that is not there; the others are looked for too, so that all are asked for.
    first_missing: Option<Error>,
    meta: Option<NodeId>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(limits: &'a Config, lookup: &'a SchemaLookup<'a>) -> Self {
        Self {
            sources: Sources::new(limits, lookup),
            patterns: Patterns::default(),
            limits,
            queue: Vec::new(),
            places: HashMap::new(),
            pointers_bytes: 0,
            root: 0,
            first_missing: None,
            meta: None,
        }
    }

    /// Starts at the schema itself.
    pub(crate) fn add_root(&mut self, address: &str, value: Value) -> Result<(), String> {
        let url = Url::parse(address).map_err(|error| format!("has no address: {error}"))?;
        self.root = self.sources.add(url, value)?;
        self.enqueue(self.root, String::new()).map(|_| ())
    }

    /// The texts that were reached.
    pub(crate) fn texts(self) -> Vec<Text> {
        let texts = self.sources.list.into_iter();
        texts.map(|source| (source.url.into(), Arc::unwrap_or_clone(source.value))).collect()
    }

    /// Follows every reference, until nothing new is reached.
    pub(crate) fn run(&mut self) -> Result<Graph> {
        let mut graph = Graph::default();
        while let Some((source, pointer)) = self.queue.get(graph.nodes.len()).cloned() {
            let node = self.node(source, &pointer).map_err(|problem| self.refused(source, &pointer, &problem))?;
            graph.dynamic |= !node.dynamic.is_empty();
            graph.unevaluated |= node.unevaluated_properties.is_some() || node.unevaluated_items.is_some();
            graph.nodes.push(node);
        }
        if let Some(missing) = self.first_missing.take() {
            return Err(missing);
        }
        for source in &self.sources.list {
            read_patterns(&source.value, &mut self.patterns, self.limits)
                .map_err(|problem| refusal(source.url.as_str(), "", &problem))?;
        }
        graph.meta = self.meta.is_some();
        if graph.meta && graph.nodes.iter().any(extends_metaschema) {
            let problem = "extends a meta-schema through $dynamicAnchor or $recursiveAnchor, which is not supported";
            return Err(self.refused(self.root, "", problem));
        }
        graph.texts = self.sources.list.iter().map(|source| (source.url.as_str().to_owned(), source.draft)).collect();
        graph.places = std::mem::take(&mut self.places);
        Ok(graph)
    }

    fn refused(&self, source: usize, pointer: &str, problem: &str) -> Error {
        let address = self.sources.list.get(source).map_or("", |source| source.url.as_str());
        refusal(address, pointer, problem)
    }

    fn node(&mut self, source: usize, pointer: &str) -> Result<Node, String> {
        if source == META {
            return Ok(Node { meta: true, ..Node::default() });
        }
        self.sources.adopt(source, pointer)?;
        let Some(text) = self.sources.list.get(source) else { return Ok(Node::default()) };
        let at = Here { source, pointer: pointer.to_owned(), draft: text.draft };
        let value = text.value.clone();
        let part_pointer = text.part_pointer(pointer).to_owned();
        let dynamic = if at.draft >= Draft::V2020_12 { text.dynamic_anchors(pointer) } else { Vec::new() };
        let part = self.enqueue(source, part_pointer)?;
        let mut dynamic_anchors = HashMap::new();
        for (name, pointer) in dynamic {
            dynamic_anchors.insert(name, self.enqueue(source, pointer)?);
        }
        let mut node = match value.pointer(pointer) {
            Some(Value::Object(members)) => read::subschema(self, &at, members)?,
            Some(Value::Bool(false)) => Node { assertions: 1, ..Node::default() },
            _ => Node::default(),
        };
        node.part = part;
        node.dynamic_anchors = dynamic_anchors;
        Ok(node)
    }

    /// The number of a place, which is new if it was not met yet.
    pub(crate) fn enqueue(&mut self, source: usize, pointer: String) -> Result<NodeId, String> {
        let place = (source, pointer);
        if let Some(known) = self.places.get(&place) {
            return Ok(*known);
        }
        if self.queue.len() >= self.limits.subschemas_max {
            let most = self.limits.subschemas_max;
            return Err(format!("reaches more subschemas than the limit of {most} (subschemas_max)"));
        }
        self.pointers_bytes += place.1.len();
        if self.pointers_bytes > POINTERS_BYTES_MAX {
            let most = POINTERS_BYTES_MAX;
            return Err(format!("reaches subschemas whose pointers take more than the limit of {most} bytes together"));
        }
        self.queue.push(place.clone());
        self.places.insert(place, self.queue.len() - 1);
        Ok(self.queue.len() - 1)
    }

    /// Where the reference at a keyword leads, `None` if there is none or it leads to a schema still to be fetched.
    pub(crate) fn reference(
        &mut self,
        at: &Here,
        members: &Map<String, Value>,
        keyword: &str,
    ) -> Result<Option<NodeId>, String> {
        let Some(reference) = members.get(keyword).and_then(Value::as_str) else { return Ok(None) };
        let missing = self.sources.missing;
        match self.sources.resolve(at.source, &at.pointer, reference) {
            Ok(Target::MetaSchema) => {
                let node = self.enqueue(META, String::new())?;
                self.meta = Some(node);
                Ok(Some(node))
            }
            Ok(Target::Place(source, pointer)) => {
                let there = self.sources.list.get(source).is_some_and(|text| text.value.pointer(&pointer).is_some());
                match there {
                    true => self.enqueue(source, pointer).map(Some),
                    false => Err(format!("refers to {}, which is not there", message::quoted(reference))),
                }
            }
            Err(problem) if self.sources.missing > missing => {
                if self.first_missing.is_none() {
                    self.first_missing = Some(self.refused(at.source, &at.pointer, &problem));
                }
                Ok(None)
            }
            Err(problem) => Err(problem),
        }
    }

    /// The subschema at a keyword.
    pub(crate) fn child(
        &mut self,
        at: &Here,
        members: &Map<String, Value>,
        keyword: &str,
    ) -> Result<Option<NodeId>, String> {
        if dialect::position(at.draft, keyword).is_none() || !members.contains_key(keyword) {
            return Ok(None);
        }
        self.enqueue(at.source, format!("{}/{keyword}", at.pointer)).map(Some)
    }

    /// The subschema at a keyword that boon takes for itself where it is `true` or `false`.
    pub(crate) fn child_schema(
        &mut self,
        at: &Here,
        members: &Map<String, Value>,
        keyword: &str,
    ) -> Result<Option<NodeId>, String> {
        if members.get(keyword).is_some_and(Value::is_boolean) { Ok(None) } else { self.child(at, members, keyword) }
    }

    /// The subschemas in the array at a keyword.
    pub(crate) fn list(
        &mut self,
        at: &Here,
        members: &Map<String, Value>,
        keyword: &str,
    ) -> Result<Vec<NodeId>, String> {
        let count = members.get(keyword).and_then(Value::as_array).map_or(0, Vec::len);
        (0..count).map(|item| self.enqueue(at.source, format!("{}/{keyword}/{item}", at.pointer))).collect()
    }

    /// The subschemas in the object at a keyword, by name.
    pub(crate) fn members(
        &mut self,
        at: &Here,
        members: &Map<String, Value>,
        keyword: &str,
    ) -> Result<Vec<(String, NodeId)>, String> {
        let Some(Value::Object(found)) = members.get(keyword) else { return Ok(Vec::new()) };
        if dialect::position(at.draft, keyword).is_none() {
            return Ok(Vec::new());
        }
        let place = |name: &String| format!("{}/{keyword}/{}", at.pointer, dialect::escaped(name));
        found.keys().map(|name| Ok((name.clone(), self.enqueue(at.source, place(name))?))).collect()
    }

    /// What a pattern costs to match.
    pub(crate) fn price(&mut self, keyword: &str, pattern: &str) -> Result<Price, String> {
        self.patterns.price(pattern, self.limits).map_err(|problem| format!("under {keyword} {problem}"))
    }
}

/// Whether a node can take part in a meta-schema's own dynamic references.
fn extends_metaschema(node: &Node) -> bool {
    node.recursive_anchor || node.dynamic_anchor.as_deref() == Some("meta")
}

/// Counts everything that boon may read as a regular expression when it holds a text against its meta-schema.
fn read_patterns(value: &Value, patterns: &mut Patterns, limits: &Config) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| read_patterns(item, patterns, limits)),
        Value::Object(members) => {
            for (keyword, value) in members {
                match value {
                    Value::String(text) if keyword == "pattern" => patterns.read(text, limits)?,
                    Value::Object(members) if keyword == "patternProperties" => {
                        members.keys().try_for_each(|text| patterns.read(text, limits))?;
                    }
                    _ => {}
                }
                read_patterns(value, patterns, limits)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
