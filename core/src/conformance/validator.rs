//! [`Validator`](crate::validator::Validator) as tests. A fixture is a function that opens a validator of JSON Schema.

use std::cell::RefCell;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::document::{DEPTH_MAX, Document};
use crate::error::{Result, Violation};
use crate::name::SchemaId;
use crate::validator::{CompiledSchema, VIOLATIONS_MAX, Validator};

/// Expands to one test for each sentence of the traits' documentation.
#[macro_export]
macro_rules! conformance_validator {
    ($fixture:path) => {
        $crate::conformance_validator! { $fixture;
            a_schema_is_compiled_under_its_id,
            a_reference_reaches_the_store_by_address_and_relative,
            a_reference_goes_through_lookup,
            a_reference_reaches_nothing_else,
            a_schema_that_does_not_compile_says_where,
            a_schema_past_a_work_limit_names_the_limit,
            compiling_never_panics,
            a_valid_document_has_no_violation,
            every_violation_has_its_place_and_reason,
            numbers_are_compared_as_written,
            violations_are_limited_in_number,
            a_check_past_a_work_limit_is_never_valid,
            one_compiled_schema_checks_many_documents_at_once,
        }
    };
    ($fixture:path; $($test:ident,)*) => {
        mod validator_conformance {
            use super::*;
            $(
                #[test]
                fn $test() {
                    $crate::conformance::validator::$test(&$fixture());
                }
            )*
        }
    };
}

fn document(value: &Value) -> Document {
    Document::parse(value.to_string().as_bytes(), DEPTH_MAX).unwrap()
}

fn id(name: &str) -> SchemaId {
    SchemaId::parse(name).unwrap()
}

/// Compiles the first schema of a store, and gives what was asked for meanwhile.
fn compile(validator: &dyn Validator, store: &[(&str, Value)]) -> (Result<Arc<dyn CompiledSchema>>, Vec<String>) {
    let asked = RefCell::new(Vec::new());
    let lookup = |wanted: &SchemaId| {
        asked.borrow_mut().push(wanted.to_string());
        store.iter().find(|(name, _)| *name == wanted.as_str()).map(|(_, schema)| document(schema))
    };
    let compiled = validator.compile(&id(store[0].0), &document(&store[0].1), &lookup);
    (compiled, asked.into_inner())
}

fn compiled(validator: &dyn Validator, schema: Value) -> Arc<dyn CompiledSchema> {
    compile(validator, &[("conformance", schema)]).0.unwrap()
}

fn refused(validator: &dyn Validator, schema: Value) -> String {
    let error = compile(validator, &[("conformance", schema)]).0.unwrap_err();
    assert_eq!(error.code(), "invalid_schema", "{error}");
    error.to_string()
}

fn violations(schema: &dyn CompiledSchema, value: &Value) -> Vec<Violation> {
    schema.check(&document(value)).unwrap()
}

/// "Compiles the schema `id`."
pub fn a_schema_is_compiled_under_its_id(validator: &dyn Validator) {
    for reference in ["#/definitions/text", "chat.v1#/definitions/text", "delta:///chat.v1#/definitions/text"] {
        let schema = json!({"definitions": {"text": {"type": "string"}}, "items": {"$ref": reference}});
        let (schema, asked) = compile(validator, &[("chat.v1", schema)]);
        assert_eq!(violations(&*schema.unwrap(), &json!(["x", 1])).len(), 1, "{reference}");
        assert!(asked.is_empty(), "a schema need not be asked for itself");
    }
}

/// "`$ref` reaches other schemas of the store by `delta:///<id>` or relative to it …"
pub fn a_reference_reaches_the_store_by_address_and_relative(validator: &dyn Validator) {
    for (name, reference) in
        [(None, "delta:///name.v1"), (None, "name.v1"), (Some("chat.v1"), "name.v1"), (None, "/name.v1")]
    {
        let mut schema = json!({"items": {"$ref": reference}});
        if let Some(name) = name {
            schema["$id"] = json!(name);
        }
        let store = [("chat.v1", schema), ("name.v1", json!({"$ref": "text"})), ("text", json!({"type": "string"}))];
        let schema = compile(validator, &store).0.unwrap();
        assert!(violations(&*schema, &json!(["x"])).is_empty() && violations(&*schema, &json!([1])).len() == 1);
    }
}

/// "… through `lookup` …"
pub fn a_reference_goes_through_lookup(validator: &dyn Validator) {
    let schema = json!({"items": {"$ref": "absent"}});
    let (error, asked) = compile(validator, &[("conformance", schema), ("other", json!({}))]);
    let error = error.unwrap_err();
    assert_eq!(error.code(), "invalid_schema");
    assert!(error.to_string().contains("absent"), "{error}");
    assert_eq!(asked, ["absent"]);
}

/// "… and nothing else: no network, no file."
pub fn a_reference_reaches_nothing_else(validator: &dyn Validator) {
    for reference in [
        "http://127.0.0.1:9/schema",
        "https://127.0.0.1:9/schema",
        "file:///dev/null",
        "/dev/null",
        "data:application/json,{}",
        "urn:example:schema",
        "delta://host/schema",
        "delta:///.hidden",
        "delta:///a/b",
        "//127.0.0.1/schema",
    ] {
        let schema = json!({"properties": {"a": {"$ref": reference}}});
        let (error, asked) = compile(validator, &[("conformance", schema)]);
        assert_eq!(error.unwrap_err().code(), "invalid_schema", "{reference}");
        assert!(asked.is_empty(), "{reference} asked for {asked:?}");
    }
}

/// "A schema that does not compile is an error with the code `invalid_schema` that says where …"
pub fn a_schema_that_does_not_compile_says_where(validator: &dyn Validator) {
    for wrong in
        [json!({"type": "strin"}), json!({"minLength": -1}), json!({"pattern": "("}), json!({"$ref": "#/absent"})]
    {
        let error = refused(validator, json!({"properties": {"age": wrong}}));
        assert!(error.contains("conformance") && error.contains("/properties/age"), "{error}");
    }
    refused(validator, json!("not a schema"));
}

/// "… one past a work limit is `invalid_schema` and names the limit."
pub fn a_schema_past_a_work_limit_names_the_limit(validator: &dyn Validator) {
    for schema in [
        json!({"pattern": "(((a{1000}){1000}){1000}){1000}"}),
        json!({"patternProperties": {"(\\p{L}{1000}){1000}": {}}}),
        json!({"description": "x".repeat(8 << 20)}),
    ] {
        let error = refused(validator, schema);
        assert!(error.contains("limit"), "{error}");
    }
}

/// "It never panics."
pub fn compiling_never_panics(validator: &dyn Validator) {
    for schema in [
        json!(null),
        json!([]),
        json!(true),
        json!({"$ref": "#"}),
        json!({"allOf": [{"not": {"$ref": "#"}}]}),
        json!({"$ref": 1}),
        json!({"$ref": "#/~2"}),
        json!({"$ref": "%"}),
        json!({"$ref": "#%ff"}),
        json!({"$ref": "http://["}),
        json!({"$id": "http://["}),
        json!({"$id": "#"}),
        json!({"$schema": "x"}),
        json!({"$schema": 1}),
        json!({"$schema": "delta:///conformance"}),
        json!({"pattern": "\\"}),
        json!({"pattern": "[\\d-z]"}),
        json!({"pattern": "\\c"}),
        json!({"pattern": "\\cä"}),
        json!({"pattern": "(?P<a>x)(?P<a>y)"}),
        json!({"items": [], "additionalItems": 1}),
        json!({"multipleOf": 0}),
        json!({"maxLength": 1e300}),
        json!({"properties": []}),
        json!({"enum": []}),
        json!({"dependencies": {"a": 1}}),
        json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "$dynamicRef": "#x", "$vocabulary": {"x": true}}),
    ] {
        if let Err(error) = compile(validator, &[("conformance", schema.clone())]).0 {
            assert_eq!(error.code(), "invalid_schema", "{schema}");
        }
    }
}

/// "Every violation in a document, empty if it is valid …"
pub fn a_valid_document_has_no_violation(validator: &dyn Validator) {
    let schema = json!({"type": "object", "required": ["a"], "properties": {"a": {"format": "date"}}});
    assert!(violations(&*compiled(validator, schema), &json!({"a": "2024-02-29", "b": [null]})).is_empty());
    assert!(violations(&*compiled(validator, json!({})), &json!({"any": "thing"})).is_empty());
    assert!(violations(&*compiled(validator, json!(true)), &json!(0)).is_empty());
}

/// "… each with pointer, schema pointer, keyword and message …"
pub fn every_violation_has_its_place_and_reason(validator: &dyn Validator) {
    let schema = json!({
        "required": ["id"],
        "properties": {"a/b": {"items": {"type": "integer", "minimum": 3}}, "when": {"format": "date"}},
    });
    let found = violations(&*compiled(validator, schema), &json!({"a/b": [3, 1, "x"], "when": "2023-02-29"}));
    let mut places: Vec<_> = found.iter().map(|one| (&*one.pointer, &*one.schema_pointer, &*one.keyword)).collect();
    places.sort_unstable();
    assert_eq!(
        places,
        [
            ("", "/required", "required"),
            ("/a~1b/1", "/properties/a~1b/items/minimum", "minimum"),
            ("/a~1b/2", "/properties/a~1b/items/type", "type"),
            ("/when", "/properties/when/format", "format"),
        ]
    );
    for one in &found {
        assert!(!one.message.is_empty() && !one.message.contains('\n'), "one line for a person: {one:?}");
        assert!(!one.message.contains("2023"), "a value of the document in a message: {one:?}");
    }
}

/// A number is what the client wrote as far as the validator's types can hold it, and otherwise the nearest.
pub fn numbers_are_compared_as_written(validator: &dyn Validator) {
    let schema =
        compiled(validator, json!({"items": {"enum": [18_446_744_073_709_551_615_u64, -9_007_199_254_740_993_i64]}}));
    assert!(violations(&*schema, &json!([18_446_744_073_709_551_615_u64, -9_007_199_254_740_993_i64])).is_empty());
    assert_eq!(violations(&*schema, &json!([18_446_744_073_709_551_614_u64, -9_007_199_254_740_992_i64])).len(), 2);
    let schema = compiled(validator, json!({"type": "number", "maximum": 1}));
    let huge = Document::parse(b"1e999", DEPTH_MAX).unwrap();
    assert_eq!(schema.check(&huge).unwrap().len(), 1);
}

/// "… at most `VIOLATIONS_MAX`."
pub fn violations_are_limited_in_number(validator: &dyn Validator) {
    let schema = compiled(validator, json!({"items": {"type": "string"}}));
    assert_eq!(violations(&*schema, &json!(vec![0; VIOLATIONS_MAX + 1])).len(), VIOLATIONS_MAX);
    assert_eq!(violations(&*schema, &json!(vec![0; VIOLATIONS_MAX - 1])).len(), VIOLATIONS_MAX - 1);
}

/// "A document whose check would pass a work limit is an error, never valid."
pub fn a_check_past_a_work_limit_is_never_valid(validator: &dyn Validator) {
    // Every level doubles the work; the innermost value is wrong.
    let schema = json!({"type": "object", "additionalProperties": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}});
    let value = (2..DEPTH_MAX).fold(json!({"a": 1}), |inner, _| json!({"a": inner}));
    let outcome = compiled(validator, schema).check(&document(&value));
    assert!(!outcome.is_ok_and(|violations| violations.is_empty()));
    // The same turned round: what was not checked must not count as wrong either.
    let schema = json!({"definitions": {"deep": {"type": "object", "additionalProperties": {"allOf": [
        {"$ref": "#/definitions/deep"}, {"$ref": "#/definitions/deep"},
    ]}}}, "not": {"$ref": "#/definitions/deep"}});
    let value = (2..DEPTH_MAX).fold(json!({"a": {}}), |inner, _| json!({"a": inner}));
    let outcome = compiled(validator, schema).check(&document(&value));
    assert!(!outcome.is_ok_and(|violations| violations.is_empty()));
}

/// "Compiles a schema once and checks many documents."
pub fn one_compiled_schema_checks_many_documents_at_once(validator: &dyn Validator) {
    let schema = compiled(validator, json!({"items": {"type": "integer"}}));
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let schema = &schema;
            scope.spawn(move || {
                for wrong in 0..50 {
                    let value = json!([thread, wrong, "x"]);
                    assert_eq!(violations(&**schema, &value).len(), 1);
                    assert!(violations(&**schema, &json!([thread, wrong])).is_empty());
                }
            });
        }
    });
}
