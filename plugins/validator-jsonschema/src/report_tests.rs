//! What is reported, where, and in which words.

use delta_core::document::{DEPTH_MAX_CEILING, Document};
use delta_core::name::SchemaId;
use delta_core::validator::CompiledSchema;
use serde_json::{Value, json};

use crate::JsonSchema;

const D2019: &str = "https://json-schema.org/draft/2019-09/schema";
const D2020: &str = "https://json-schema.org/draft/2020-12/schema";

fn document(value: &Value) -> Document {
    Document::parse(value.to_string().as_bytes(), DEPTH_MAX_CEILING).unwrap()
}

/// Every violation as `pointer | schema pointer | keyword | message`.
fn report(schema: &Value, value: &Value) -> Vec<String> {
    let other = json!({"definitions": {"text": {"type": "string", "minLength": 2}}});
    let compiled = JsonSchema::default()
        .compiled(&SchemaId::parse("a").unwrap(), &document(schema), &|_| Some(document(&other)))
        .unwrap();
    let found = compiled.check(&document(value)).unwrap();
    found.iter().map(|one| [&*one.pointer, &one.schema_pointer, &one.keyword, &one.message].join(" | ")).collect()
}

#[test]
fn every_violation_is_reported_at_its_place() {
    let schema = json!({
        "type": "object", "required": ["id", "name", "a/b"], "additionalProperties": false, "minProperties": 9,
        "properties": {
            "id": {"type": "integer", "minimum": 3}, "kind": {"enum": ["a", 1, null, {}]}, "name": {"$ref": "other#/definitions/text"},
            "list": {"items": {"multipleOf": 2}, "uniqueItems": true, "maxItems": 2}, "~": {"const": 1},
            "when": {"format": "date-time"}, "code": {"pattern": "^[a-z]+$", "maxLength": 3},
        },
    });
    let value = json!({
        "id": 1, "kind": "secret", "name": "x", "list": [1, 1, 4], "~": 2, "when": "secret", "code": "SECRET", "more/": 1,
    });
    assert_eq!(
        report(&schema, &value),
        [
            " | /minProperties | minProperties | must have at least 9 properties",
            " | /required | required | \"a/b\" is required",
            "/code | /properties/code/maxLength | maxLength | must have at most 3 characters",
            "/code | /properties/code/pattern | pattern | must match the pattern \"^[a-z]+$\"",
            "/id | /properties/id/minimum | minimum | must be at least 3",
            "/kind | /properties/kind/enum | enum | must be one of \"a\", 1, null, the object in the schema",
            "/list | /properties/list/maxItems | maxItems | must have at most 2 items",
            "/list | /properties/list/uniqueItems | uniqueItems | items 0 and 1 are equal, and must all differ",
            "/list/0 | /properties/list/items/multipleOf | multipleOf | must be a multiple of 2",
            "/list/1 | /properties/list/items/multipleOf | multipleOf | must be a multiple of 2",
            "/name | other#/definitions/text/minLength | minLength | must have at least 2 characters",
            "/when | /properties/when/format | format | must be a valid date-time",
            "/~0 | /properties/~0/const | const | must be 1",
            "/more~1 | /additionalProperties | additionalProperties | is not allowed",
        ]
    );
}

#[test]
fn alternatives_are_reported_and_then_what_each_misses() {
    let schema = json!({"properties": {"a": {"anyOf": [{"type": "string"}, {"minimum": 3}]}, "b": {"oneOf": [{}, {}, {"type": "null"}]}, "c": {"not": {}}}});
    assert_eq!(
        report(&schema, &json!({"a": 1, "b": 1, "c": 1})),
        [
            "/a | /properties/a/anyOf | anyOf | matches none of the alternatives",
            "/a | /properties/a/anyOf/0/type | type | must be string, and is number",
            "/a | /properties/a/anyOf/1/minimum | minimum | must be at least 3",
            "/b | /properties/b/oneOf | oneOf | matches alternatives 0 and 1, and must match exactly one",
            "/c | /properties/c/not | not | must not match what \"not\" describes",
        ]
    );
}

#[test]
fn items_behind_a_tuple_are_counted_from_the_start() {
    let inner = json!({"items": [{}], "additionalItems": {"properties": {"x": {"type": "string"}}}});
    let schema =
        json!({"items": [{}, {}], "additionalItems": {"$ref": "#/definitions/inner"}, "definitions": {"inner": inner}});
    let value = json!([0, 0, [0, {"x": "y"}, {"x": 1}], [0, {"x": 1}]]);
    assert_eq!(
        report(&schema, &value),
        [
            "/2/2/x | /definitions/inner/additionalItems/properties/x/type | type | must be string, and is number",
            "/3/1/x | /definitions/inner/additionalItems/properties/x/type | type | must be string, and is number",
        ]
    );
    let schema =
        json!({"$schema": D2020, "properties": {"a": {"prefixItems": [{}, {}, {}], "items": {"type": "null"}}}});
    assert_eq!(
        report(&schema, &json!({"a": [0, 0, 0, null, 1]})),
        ["/a/4 | /properties/a/items/type | type | must be null, and is number"]
    );
    let schema = json!({"$schema": D2020, "prefixItems": [{}], "items": false});
    assert_eq!(report(&schema, &json!([0, 0])), ["/1 | /items | items | is not allowed"]);
}

#[test]
fn wrong_names_are_reported_at_their_object() {
    let schema = json!({
        "definitions": {"names": {"propertyNames": {"anyOf": [{"maxLength": 1}, {"pattern": "^x"}]}}},
        "items": {"additionalProperties": {"allOf": [{"$ref": "#/definitions/names"}]}},
    });
    let value = json!([{"p": {"long": 1, "s": 1}}, {"q": {"xlong": 1}}, {"r": {"long": 1}}]);
    let message = "the name \"long\" is not allowed: must have at most 1 character";
    assert_eq!(
        report(&schema, &value),
        [
            format!("/0/p | /definitions/names/propertyNames | propertyNames | {message}"),
            format!("/2/r | /definitions/names/propertyNames | propertyNames | {message}"),
        ]
    );
}

#[test]
fn what_was_not_evaluated_is_reported_where_it_is() {
    let schema = json!({"$schema": D2019, "properties": {"a": {}}, "unevaluatedProperties": false, "dependentRequired": {"a": ["c", "d"]}});
    assert_eq!(
        report(&schema, &json!({"a": 1, "b": 1})),
        [
            " | /dependentRequired/a | dependentRequired | \"c\", \"d\" is needed where there is \"a\"",
            "/b | /unevaluatedProperties | unevaluatedProperties | is not allowed",
        ]
    );
    assert_eq!(report(&json!(false), &json!(1)), [" |  | false | is not allowed"]);
    let schema = json!({"contains": {"type": "string"}});
    assert_eq!(
        report(&schema, &json!([1, 2])),
        [" | /contains | contains | must have an item that matches what \"contains\" describes"]
    );
}

#[test]
fn strange_names_do_not_confuse_the_places() {
    let schema = json!({"properties": {"a b%/~#ä\n": {"items": {"type": "string"}}, "items": {"properties": {"properties": {"type": "null"}}}}});
    assert_eq!(
        report(&schema, &json!({"a b%/~#ä\n": [1], "items": {"properties": 1}})),
        [
            "/a b%~1~0#ä\n/0 | /properties/a b%~1~0#ä\n/items/type | type | must be string, and is number",
            "/items/properties | /properties/items/properties/properties/type | type | must be null, and is number",
        ]
    );
}

#[test]
fn no_message_repeats_a_value_of_the_document() {
    let formats = [
        "date",
        "time",
        "date-time",
        "email",
        "hostname",
        "idn-hostname",
        "ipv4",
        "ipv6",
        "uri",
        "uuid",
        "regex",
        "duration",
    ];
    let all: Vec<Value> = formats.iter().map(|format| json!({"format": format})).collect();
    let schema = json!({"additionalProperties": {"allOf": [{"allOf": all}, {"minLength": 99}, {"maxLength": 1}, {"pattern": "^a"},
        {"enum": [1]}, {"const": 2}, {"type": "object"}, {"minimum": 999}, {"maximum": 1}, {"multipleOf": 7}, {"exclusiveMaximum": 3},
        {"propertyNames": {"maxLength": 1}}, {"maxItems": 1}, {"not": {}}, {"uniqueItems": true}]}});
    for value in [json!("(9173-secret"), json!(9173), json!(9173.5), json!([9173, 9173]), json!({"a": 9173})] {
        let found = report(&schema, &json!({"x": value}));
        assert!(found.len() >= 3, "{found:#?}");
        assert!(found.iter().all(|line| !line.contains("9173") && !line.contains("secret")), "{found:#?}");
    }
}
