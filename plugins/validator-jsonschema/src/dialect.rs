//! Where the drafts keep subschemas, and which of them look at a part of the value.

use boon::Draft;

/// What stands at a keyword that holds subschemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// A schema.
    Itself,
    /// An object whose members are schemas.
    Members,
    /// An array of schemas.
    List,
    /// A schema or an array of schemas.
    ItselfOrList,
}

/// What stands at `keyword`, `None` where a draft keeps no subschema.
pub(crate) fn position(draft: Draft, keyword: &str) -> Option<Position> {
    let (since, position) = match keyword {
        "not" | "additionalProperties" | "additionalItems" => (Draft::V4, Position::Itself),
        "definitions" | "properties" | "patternProperties" | "dependencies" => (Draft::V4, Position::Members),
        "allOf" | "anyOf" | "oneOf" => (Draft::V4, Position::List),
        "items" => (Draft::V4, Position::ItselfOrList),
        "propertyNames" | "contains" => (Draft::V6, Position::Itself),
        "if" | "then" | "else" => (Draft::V7, Position::Itself),
        "unevaluatedProperties" | "unevaluatedItems" | "contentSchema" => (Draft::V2019_09, Position::Itself),
        "$defs" | "dependentSchemas" => (Draft::V2019_09, Position::Members),
        "prefixItems" => (Draft::V2020_12, Position::List),
        _ => return None,
    };
    (draft >= since).then_some(position)
}

/// Whether a keyword's subschemas look at members or items of the value, not at the value itself.
pub(crate) fn descends(keyword: &str) -> bool {
    matches!(
        keyword,
        "properties"
            | "patternProperties"
            | "additionalProperties"
            | "unevaluatedProperties"
            | "items"
            | "prefixItems"
            | "additionalItems"
            | "unevaluatedItems"
            | "contains"
    )
}

/// The keyword that names a schema.
pub(crate) fn id_keyword(draft: Draft) -> &'static str {
    if draft == Draft::V4 { "id" } else { "$id" }
}

/// One step from a schema to a subschema within its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hop<'a> {
    /// The keyword that holds the subschema.
    pub(crate) keyword: &'a str,
    /// The member's name or the item's number, where the keyword holds several.
    pub(crate) part: Option<&'a str>,
}

/// Takes the first hop off a pointer's tokens; `None` if it does not lead to a subschema.
pub(crate) fn hop<'a>(draft: Draft, tokens: &mut &[&'a str]) -> Option<Hop<'a>> {
    let (keyword, rest) = tokens.split_first()?;
    let number = rest.first().filter(|token| token.parse::<usize>().is_ok());
    let part = match position(draft, keyword)? {
        Position::Itself => None,
        Position::Members => Some(rest.first()?),
        Position::List => Some(number?),
        Position::ItselfOrList => number,
    };
    *tokens = rest.get(usize::from(part.is_some())..)?;
    Some(Hop { keyword, part: part.copied() })
}

/// Whether a pointer leads from a schema to a subschema through keywords alone.
pub(crate) fn is_subschema(draft: Draft, pointer: &str) -> bool {
    let tokens: Vec<&str> = pointer.split('/').skip(1).collect();
    let mut tokens = tokens.as_slice();
    while !tokens.is_empty() {
        if hop(draft, &mut tokens).is_none() {
            return false;
        }
    }
    true
}

/// A token of a JSON Pointer as it is written (RFC 6901, section 3).
pub(crate) fn escaped(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subschemas_are_found_where_the_draft_keeps_them() {
        for pointer in ["", "/properties/not", "/items", "/items/0", "/items/items/1/allOf/0", "/definitions/a/not"] {
            assert!(is_subschema(Draft::V4, pointer), "{pointer}");
        }
        for pointer in ["/properties", "/allOf", "/allOf/x", "/$defs/a", "/if", "/components/schemas/a", "/const"] {
            assert!(!is_subschema(Draft::V4, pointer), "{pointer}");
        }
        assert!(is_subschema(Draft::V7, "/if") && !is_subschema(Draft::V6, "/if"));
        assert!(is_subschema(Draft::V2020_12, "/prefixItems/0") && !is_subschema(Draft::V2019_09, "/prefixItems/0"));
    }
}
