//! One subschema, as far as it decides where a check goes and what it costs.

use std::collections::HashMap;

use boon::Draft;
use serde_json::{Map, Value};

use crate::dialect;
use crate::graph::Builder;
use crate::pattern::Price;
use crate::unique;

/// A subschema's number.
pub(crate) type NodeId = usize;

/// One subschema. What it holds is what boon looks at; where a vocabulary switches keywords off, it holds more.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// A part of a meta-schema, which is priced as a whole.
    pub(crate) meta: bool,
    /// Where the part of the text starts that this belongs to.
    pub(crate) part: NodeId,
    /// The types it allows, as bits; none for all.
    pub(crate) types: u8,
    /// How many keywords can fail on their own.
    pub(crate) assertions: u64,
    /// Comparisons with `const` and `enum`.
    pub(crate) compared: u64,
    /// Names to look up in an object.
    pub(crate) names_looked_up: u64,
    pub(crate) format: Option<Format>,
    pub(crate) pattern: Option<Price>,
    pub(crate) unique_items: bool,

    pub(crate) properties: HashMap<String, NodeId>,
    pub(crate) pattern_properties: Vec<(Price, NodeId)>,
    pub(crate) additional_properties: Option<NodeId>,
    pub(crate) property_names: Option<NodeId>,
    pub(crate) unevaluated_properties: Option<NodeId>,
    pub(crate) prefix_items: Vec<NodeId>,
    pub(crate) items: Option<NodeId>,
    pub(crate) contains: Option<NodeId>,
    pub(crate) unevaluated_items: Option<NodeId>,

    /// Before 2019-09 a `$ref` hides everything beside it.
    pub(crate) reference: Option<NodeId>,
    /// Applied to the same value, always.
    pub(crate) same: Vec<NodeId>,
    /// Applied to the same value, if it has a member of that name.
    pub(crate) dependent: Vec<(String, NodeId)>,
    pub(crate) condition: Option<Condition>,
    /// `$recursiveRef` and `$dynamicRef`.
    pub(crate) dynamic: Vec<Dynamic>,
    pub(crate) recursive_anchor: bool,
    pub(crate) dynamic_anchor: Option<String>,
    /// The dynamic anchors of the part that starts here.
    pub(crate) dynamic_anchors: HashMap<String, NodeId>,
}

/// What a format costs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Format {
    /// Time in the square of the text.
    Regex,
    /// Time linear in the text.
    Other,
}

/// `if`, `then` and `else`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Condition {
    pub(crate) holds: NodeId,
    pub(crate) then: Option<NodeId>,
    pub(crate) otherwise: Option<NodeId>,
}

/// A reference that the way to it decides.
#[derive(Debug)]
pub(crate) enum Dynamic {
    Recursive(NodeId),
    Anchor(NodeId, Option<String>),
}

/// The bit of a value's type.
pub(crate) fn type_bit(value: &Value) -> u8 {
    match value {
        Value::Null => 1,
        Value::Bool(_) => 2,
        Value::Number(_) => 4,
        Value::String(_) => 8,
        Value::Array(_) => 16,
        Value::Object(_) => 32,
    }
}

const INTEGER: u8 = 64;

fn named_type(name: &Value) -> u8 {
    match name.as_str() {
        Some("null") => 1,
        Some("boolean") => 2,
        Some("number") => 4,
        Some("string") => 8,
        Some("array") => 16,
        Some("object") => 32,
        Some("integer") => INTEGER,
        _ => 0,
    }
}

impl Node {
    /// Whether a value's type is one of those allowed.
    pub(crate) fn allows(&self, value: &Value) -> bool {
        let integer = self.types & INTEGER != 0
            && value.as_number().is_some_and(|number| {
                number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
            });
        self.types == 0 || self.types & type_bit(value) != 0 || integer
    }

    /// The subschemas that are applied to the same value whatever the value is and whichever way led here.
    pub(crate) fn applied_to_the_same(&self) -> impl Iterator<Item = NodeId> {
        let condition = self
            .condition
            .iter()
            .flat_map(|condition| [Some(condition.holds), condition.then, condition.otherwise].into_iter().flatten());
        let dependent = self.dependent.iter().map(|(_, node)| *node);
        self.reference.into_iter().chain(self.same.iter().copied()).chain(dependent).chain(condition)
    }
}

/// A keyword that can fail on its own or that wraps the failures of others.
fn asserts(keyword: &str) -> bool {
    !matches!(
        keyword,
        "type"
            | "properties"
            | "patternProperties"
            | "items"
            | "prefixItems"
            | "$defs"
            | "definitions"
            | "title"
            | "description"
            | "default"
            | "examples"
            | "$id"
            | "id"
            | "$schema"
            | "$comment"
            | "$anchor"
            | "if"
    )
}

/// Reads one subschema that is an object.
pub(crate) fn read(builder: &mut Builder<'_>, at: &Here, members: &Map<String, Value>) -> Result<Node, String> {
    let mut node = Node::default();
    if let Some(reference) = builder.reference(at, members, "$ref")? {
        if at.draft < Draft::V2019_09 {
            node.reference = Some(reference);
            node.compared = members.get("const").map_or(0, unique::size);
            node.assertions = 1;
            // boon compiles these all the same, and never applies them.
            builder.child(at, members, "contains")?;
            builder.child(at, members, "propertyNames")?;
            condition(builder, at, members)?;
            return Ok(node);
        }
        node.same.push(reference);
    }
    node.assertions = members.keys().filter(|keyword| asserts(keyword)).count() as u64;
    assertions(builder, &mut node, members)?;
    same_value(builder, &mut node, at, members)?;
    objects(builder, &mut node, at, members)?;
    arrays(builder, &mut node, at, members)?;
    Ok(node)
}

/// Where a subschema stands.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    pub(crate) source: usize,
    pub(crate) pointer: String,
    pub(crate) draft: Draft,
}

fn assertions(builder: &mut Builder<'_>, node: &mut Node, members: &Map<String, Value>) -> Result<(), String> {
    node.types = match members.get("type") {
        Some(Value::Array(names)) => names.iter().fold(0, |bits, name| bits | named_type(name)),
        Some(name) => named_type(name),
        None => 0,
    };
    node.compared = ["const", "enum"].into_iter().filter_map(|keyword| members.get(keyword)).map(unique::size).sum();
    node.format = members.get("format").and_then(Value::as_str).map(|format| match format {
        "regex" => Format::Regex,
        _ => Format::Other,
    });
    if let Some(pattern) = members.get("pattern").and_then(Value::as_str) {
        node.pattern = Some(builder.price("pattern", pattern)?);
    }
    node.unique_items = members.get("uniqueItems") == Some(&Value::Bool(true));
    let names = |value: &Value| value.as_array().map_or(1, Vec::len) as u64;
    let of_each = |value: &Value| value.as_object().map_or(0, |members| members.values().map(names).sum());
    node.names_looked_up = members.get("required").map_or(0, names)
        + ["dependencies", "dependentRequired", "dependentSchemas"]
            .into_iter()
            .filter_map(|keyword| members.get(keyword))
            .map(of_each)
            .sum::<u64>();
    Ok(())
}

fn same_value(
    builder: &mut Builder<'_>,
    node: &mut Node,
    at: &Here,
    members: &Map<String, Value>,
) -> Result<(), String> {
    for keyword in ["allOf", "anyOf", "oneOf"] {
        node.same.extend(builder.list(at, members, keyword)?);
    }
    node.same.extend(builder.child(at, members, "not")?);
    node.condition = condition(builder, at, members)?;
    node.dependent = builder.members(at, members, "dependentSchemas")?;
    // An array of names there is no schema; a dependency on names alone applies nothing.
    if let Some(Value::Object(dependencies)) = members.get("dependencies") {
        for name in dependencies.iter().filter(|(_, value)| !value.is_array()).map(|(name, _)| name) {
            let pointer = format!("{}/dependencies/{}", at.pointer, dialect::escaped(name));
            node.dependent.push((name.clone(), builder.enqueue(at.source, pointer)?));
        }
    }
    if at.draft >= Draft::V2019_09 {
        node.recursive_anchor = members.get("$recursiveAnchor") == Some(&Value::Bool(true));
        node.dynamic.extend(builder.reference(at, members, "$recursiveRef")?.map(Dynamic::Recursive));
    }
    if at.draft >= Draft::V2020_12 {
        node.dynamic_anchor = members.get("$dynamicAnchor").and_then(Value::as_str).map(str::to_owned);
        if let Some(target) = builder.reference(at, members, "$dynamicRef")? {
            let text = members.get("$dynamicRef").and_then(Value::as_str).unwrap_or_default();
            let fragment = text.split_once('#').map_or("", |(_, fragment)| fragment);
            let fragment = percent_encoding::percent_decode_str(fragment).decode_utf8_lossy().into_owned();
            let anchor = Some(fragment).filter(|name| !name.is_empty() && !name.starts_with('/'));
            node.dynamic.push(Dynamic::Anchor(target, anchor));
        }
    }
    Ok(())
}

fn condition(builder: &mut Builder<'_>, at: &Here, members: &Map<String, Value>) -> Result<Option<Condition>, String> {
    let Some(holds) = builder.child(at, members, "if")? else { return Ok(None) };
    // A literal condition leaves only one of the two.
    let literal = members.get("if").and_then(Value::as_bool);
    let then = if literal == Some(false) { None } else { builder.child(at, members, "then")? };
    let otherwise = if literal == Some(true) { None } else { builder.child(at, members, "else")? };
    Ok(Some(Condition { holds, then, otherwise }))
}

fn objects(builder: &mut Builder<'_>, node: &mut Node, at: &Here, members: &Map<String, Value>) -> Result<(), String> {
    node.properties = builder.members(at, members, "properties")?.into_iter().collect();
    for (pattern, child) in builder.members(at, members, "patternProperties")? {
        node.pattern_properties.push((builder.price("patternProperties", &pattern)?, child));
    }
    node.additional_properties = builder.child_schema(at, members, "additionalProperties")?;
    node.property_names = builder.child(at, members, "propertyNames")?;
    node.unevaluated_properties = builder.child(at, members, "unevaluatedProperties")?;
    Ok(())
}

fn arrays(builder: &mut Builder<'_>, node: &mut Node, at: &Here, members: &Map<String, Value>) -> Result<(), String> {
    if at.draft >= Draft::V2020_12 {
        node.prefix_items = builder.list(at, members, "prefixItems")?;
        node.items = builder.child(at, members, "items")?;
    } else if members.get("items").is_some_and(Value::is_array) {
        node.prefix_items = builder.list(at, members, "items")?;
        node.items = builder.child_schema(at, members, "additionalItems")?;
    } else {
        node.items = builder.child(at, members, "items")?;
    }
    node.contains = builder.child(at, members, "contains")?;
    node.unevaluated_items = builder.child(at, members, "unevaluatedItems")?;
    Ok(())
}
