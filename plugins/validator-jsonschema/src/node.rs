//! One subschema, as far as it decides where a check goes and what it costs.

use std::collections::HashMap;

use serde_json::Value;

use crate::pattern::Price;

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

/// The bit of the type `integer`, which no value has by itself.
const INTEGER: u8 = 64;

/// The bit of a type that a schema names.
pub(crate) fn named_type(name: &Value) -> u8 {
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
