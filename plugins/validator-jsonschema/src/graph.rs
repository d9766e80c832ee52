//! All subschemas that a check can reach, and how they lead to each other.
//!
//! Built from the texts alone, before boon sees them, and in the order in which boon compiles: everything that boon will
//! compile is here. Where they disagree the schema is refused.

use std::collections::{HashMap, HashSet};

use boon::Draft;
use delta_core::name::SchemaId;
use delta_core::validator::{SCHEMA_BASE, SchemaLookup};
use delta_core::{Error, Result};
use serde_json::Value;

use crate::builder::Builder;
use crate::config::Config;
use crate::loops;
use crate::message;
use crate::node::{Node, NodeId};

/// The subschemas, the schema itself first.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    /// Where each stands: the number of a text, and a pointer.
    pub(crate) places: HashMap<(usize, String), NodeId>,
    /// The texts: their addresses, and their drafts.
    pub(crate) texts: Vec<(String, Draft)>,
    /// Some reference depends on the way that led to it.
    pub(crate) dynamic: bool,
    /// A part of a meta-schema is reached.
    pub(crate) meta: bool,
    /// `unevaluatedProperties` or `unevaluatedItems` is used.
    pub(crate) unevaluated: bool,
}

impl Graph {
    /// The subschema at an address as boon writes it.
    pub(crate) fn find(&self, text: &str, pointer: &str) -> Option<NodeId> {
        let text = self.texts.iter().position(|(url, _)| url == text)?;
        self.places.get(&(text, pointer.to_owned())).copied()
    }

    /// The draft of a text.
    pub(crate) fn draft(&self, text: &str) -> Option<Draft> {
        self.texts.iter().find(|(url, _)| url == text).map(|(_, draft)| *draft)
    }

    /// The subschemas that stand at an `if`, with their addresses as boon reads them.
    pub(crate) fn conditions(&self) -> Vec<(NodeId, String)> {
        let holds: HashSet<_> = self.nodes.iter().filter_map(|node| node.condition.map(|found| found.holds)).collect();
        let mut found = Vec::new();
        for ((text, pointer), node) in self.places.iter().filter(|(_, node)| holds.contains(node)) {
            if let Some((url, _)) = self.texts.get(*text) {
                found.push((*node, format!("{url}#{}", encoded(pointer))));
            }
        }
        found
    }
}

/// A pointer as the fragment of an address.
fn encoded(pointer: &str) -> String {
    percent_encoding::utf8_percent_encode(pointer, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A text for boon: its address, and what it says.
pub(crate) type Text = (String, Value);

/// Builds the graph of the schema `id`, and gives the texts it is made of.
pub(crate) fn build(
    id: &SchemaId,
    value: Value,
    lookup: &SchemaLookup<'_>,
    limits: &Config,
) -> Result<(Graph, Vec<Text>)> {
    let address = format!("{SCHEMA_BASE}{id}");
    let mut builder = Builder::new(limits, lookup);
    builder.add_root(&address, value).map_err(|problem| refusal(&address, "", &problem))?;
    let graph = builder.run()?;
    loops::check(&graph)?;
    Ok((graph, builder.texts()))
}

/// The one error of this crate's: where in which schema, and what.
pub(crate) fn refusal(address: &str, pointer: &str, problem: &str) -> Error {
    let schema = address.strip_prefix(SCHEMA_BASE).unwrap_or(address);
    let place = if pointer.is_empty() { String::new() } else { format!(" at {}", message::shortened(pointer)) };
    Error::invalid("invalid_schema", format!("schema {schema}{place} {problem}"))
}
