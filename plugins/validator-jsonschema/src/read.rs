//! Reads one subschema: what it asserts, and where it leads.

use boon::Draft;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::builder::Builder;
use crate::dialect;
use crate::node::{Condition, Dynamic, Format, Node, named_type};
use crate::unique;

/// Where a subschema stands.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    pub(crate) source: usize,
    pub(crate) pointer: String,
    pub(crate) draft: Draft,
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
pub(crate) fn subschema(builder: &mut Builder<'_>, at: &Here, members: &Map<String, Value>) -> Result<Node, String> {
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
            let fragment = percent_decode_str(fragment).decode_utf8_lossy().into_owned();
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
