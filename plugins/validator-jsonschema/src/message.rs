//! What a person reads: one line, in lower case, without a value of the document.

use boon::{ErrorKind, Types};
use serde_json::Value;

/// The longest text that is quoted from a schema, and the longest name, in bytes.
const QUOTED_BYTES_MAX: usize = 100;
/// The most names or values that are listed.
const LISTED_MAX: usize = 8;

/// A text in quotes, control characters escaped, cut where it gets long.
pub(crate) fn quoted(text: &str) -> String {
    if text.len() <= QUOTED_BYTES_MAX {
        return format!("{text:?}");
    }
    format!("{:?}…", text.get(..text.floor_char_boundary(QUOTED_BYTES_MAX)).unwrap_or_default())
}

/// A pointer, cut where it gets long.
pub(crate) fn shortened(pointer: &str) -> String {
    let escaped: String = pointer.chars().flat_map(char::escape_debug).collect();
    match escaped.get(..escaped.floor_char_boundary(2 * QUOTED_BYTES_MAX)) {
        Some(start) if start.len() < escaped.len() => format!("{start}…"),
        _ => escaped,
    }
}

/// What does not hold.
pub(crate) fn describe(kind: &ErrorKind<'_, '_>) -> String {
    use ErrorKind as Kind;
    match kind {
        Kind::Type { got, want } => format!("must be {}, and is {got}", types(want)),
        Kind::Enum { want } if want.len() == 1 => want.first().map(constant).unwrap_or_default(),
        Kind::Enum { want } => format!("must be one of {}", listed(want.iter().map(value))),
        Kind::Const { want } => constant(want),
        Kind::Format { want, .. } => format!("must be a valid {want}"),
        Kind::Pattern { want, .. } => format!("must match the pattern {}", quoted(want)),
        Kind::FalseSchema => "is not allowed".into(),
        Kind::Not => "must not match what \"not\" describes".into(),
        Kind::AnyOf => "matches none of the alternatives".into(),
        Kind::OneOf(None) => "matches none of the alternatives, and must match exactly one".into(),
        Kind::OneOf(Some((one, other))) => {
            format!("matches alternatives {one} and {other}, and must match exactly one")
        }
        Kind::PropertyName { prop } => format!("the name {} is not allowed", quoted(prop)),
        Kind::Dependency { prop, missing } | Kind::DependentRequired { prop, missing } => {
            format!("{} is needed where there is {}", listed(missing.iter().map(|name| quoted(name))), quoted(prop))
        }
        _ => bound(kind).unwrap_or_else(|| "does not match".into()),
    }
}

/// What is too many, too few, too large or too small.
fn bound(kind: &ErrorKind<'_, '_>) -> Option<String> {
    use ErrorKind as Kind;
    Some(match kind {
        Kind::MinProperties { want, .. } => format!("must have at least {}", counted(*want, "property", "properties")),
        Kind::MaxProperties { want, .. } => format!("must have at most {}", counted(*want, "property", "properties")),
        Kind::MinItems { want, .. } => format!("must have at least {}", counted(*want, "item", "items")),
        Kind::MaxItems { want, .. } => format!("must have at most {}", counted(*want, "item", "items")),
        Kind::AdditionalItems { got } => format!("has {} too many", counted(*got, "item", "items")),
        Kind::Contains => "must have an item that matches what \"contains\" describes".into(),
        Kind::MinContains { want, .. } => {
            format!("must have at least {} that match \"contains\"", counted(*want, "item", "items"))
        }
        Kind::MaxContains { want, .. } => {
            format!("must have at most {} that match \"contains\"", counted(*want, "item", "items"))
        }
        Kind::UniqueItems { got: [one, other] } => format!("items {one} and {other} are equal, and must all differ"),
        Kind::MinLength { want, .. } => format!("must have at least {}", counted(*want, "character", "characters")),
        Kind::MaxLength { want, .. } => format!("must have at most {}", counted(*want, "character", "characters")),
        Kind::Minimum { want, .. } => format!("must be at least {want}"),
        Kind::Maximum { want, .. } => format!("must be at most {want}"),
        Kind::ExclusiveMinimum { want, .. } => format!("must be more than {want}"),
        Kind::ExclusiveMaximum { want, .. } => format!("must be less than {want}"),
        Kind::MultipleOf { want, .. } => format!("must be a multiple of {want}"),
        _ => return None,
    })
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn types(want: &Types) -> String {
    want.iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(" or ")
}

fn constant(want: &Value) -> String {
    format!("must be {}", value(want))
}

/// A value of the schema.
fn value(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(_) => "the array in the schema".into(),
        Value::Object(_) => "the object in the schema".into(),
        scalar => scalar.to_string(),
    }
}

fn listed(mut names: impl Iterator<Item = String>) -> String {
    let shown: Vec<_> = names.by_ref().take(LISTED_MAX).collect();
    match names.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
