//! Hostile schemas and documents. What these tests show is that they end.

use delta_core::document::{DEPTH_MAX_CEILING, Document};
use delta_core::error::{ErrorKind, Violation};
use delta_core::name::SchemaId;
use delta_core::validator::{CompiledSchema, VIOLATIONS_MAX};
use delta_core::{Error, Result};
use serde_json::{Map, Value, json};

use crate::validator::Compiled;
use crate::{Config, JsonSchema};

const D2019: &str = "https://json-schema.org/draft/2019-09/schema";
const D2020: &str = "https://json-schema.org/draft/2020-12/schema";
const MEBIBYTE: usize = 1 << 20;

fn document(value: &Value) -> Document {
    Document::parse(value.to_string().as_bytes(), DEPTH_MAX_CEILING).unwrap()
}

fn compile_within(limits: Config, schema: &Value) -> Result<Compiled> {
    JsonSchema::new(limits)?.compiled(&SchemaId::parse("a").unwrap(), &document(schema), &|_| None)
}

fn compile(schema: &Value) -> Result<Compiled> {
    compile_within(Config::default(), schema)
}

fn refused(schema: &Value) -> String {
    let error = compile(schema).unwrap_err();
    assert_eq!(error.code(), "invalid_schema", "{error}");
    error.to_string()
}

fn check(schema: &Value, value: &Value) -> Result<Vec<Violation>> {
    compile(schema).unwrap().check(&document(value))
}

fn too_large(schema: &Value, value: &Value) -> Error {
    let error = check(schema, value).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert!(error.to_string().contains("limit"), "{error}");
    error
}

/// `{"a": {"a": … {}}}`
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!({}), |inner, _| json!({"a": inner}))
}

fn zeros(bytes: usize) -> Value {
    Value::from(vec![0; bytes / 2])
}

#[test]
fn a_schema_has_limits_with_names() {
    let long = json!({"description": "x".repeat(300 << 10)});
    assert!(refused(&long).contains("limit of 262144 (schema_bytes_max)"));
    let deep = (0..200).fold(json!({}), |inner, _| json!({"not": inner}));
    assert!(refused(&deep).contains("limit of 128 levels (schema_depth_max)"));
    let wide: Map<String, Value> = (0..9000).map(|n| (n.to_string(), json!({}))).collect();
    assert!(refused(&json!({"properties": wide})).contains("limit of 8192 (subschemas_max)"));
    let patterns: Map<String, Value> = (0..600).map(|n| (n.to_string(), json!({}))).collect();
    assert!(refused(&json!({"patternProperties": patterns})).contains("limit of 256 (patterns_max)"));
    let ids: Vec<Value> = (0..2000).map(|n| json!({"$id": n.to_string()})).collect();
    assert!(refused(&json!({"allOf": ids})).contains("limit of 1024 $ids"));
    let many = json!({"allOf": vec![json!({"title": "x"}); 1000]});
    let far = (0..5).fold(many.clone(), |inner, _| json!({"properties": {"a".repeat(300): inner}}));
    assert!(refused(&far).contains("limit of 1048576 bytes"));
    let far = (0..40).fold(many, |inner, _| json!({"properties": {"a".repeat(300): inner}}));
    assert!(refused(&far).contains("limit of 8192 bytes"));
}

#[test]
fn a_chain_of_schemas_has_a_limit() {
    let next = |id: &SchemaId| {
        let number: u32 = id.as_str().trim_start_matches('s').parse().unwrap();
        Some(document(&json!({"items": {"$ref": format!("s{}", number + 1)}})))
    };
    let first = json!({"items": {"$ref": "s1"}});
    let error = JsonSchema::default().compiled(&SchemaId::parse("s0").unwrap(), &document(&first), &next).unwrap_err();
    assert!(error.to_string().contains("limit of 64 (schemas_max)"), "{error}");
    let meta = |id: &SchemaId| Some(document(&json!({"$schema": format!("delta:///{id}x")})));
    let first = json!({"$schema": "delta:///x"});
    assert!(JsonSchema::default().compiled(&SchemaId::parse("a").unwrap(), &document(&first), &meta).is_err());
}

#[test]
fn a_regular_expression_has_limits_with_names() {
    for pattern in ["(((a{1000}){1000}){1000}){1000}", "(\\p{L}{1000}){1000}", "((((x*)*)*){999}){9999}"] {
        assert!(refused(&json!({"pattern": pattern})).contains("(pattern_program_bytes_max)"), "{pattern}");
        assert!(refused(&json!({"patternProperties": {pattern: {}}})).contains("(pattern_program_bytes_max)"));
    }
    assert!(refused(&json!({"pattern": "x".repeat(5000)})).contains("limit of 2048 bytes (pattern_bytes_max)"));
    // Never used, and read all the same when the schema is held against its meta-schema.
    let unused: Map<String, Value> = (0..60).map(|n| (n.to_string(), json!({"pattern": "\\d".repeat(1000)}))).collect();
    assert!(refused(&json!({"definitions": unused})).contains("more escapes than the limit"));
    assert!(refused(&json!({"pattern": "(".repeat(2000)})).contains("regular expression"));
}

#[test]
fn a_schema_that_never_ends_is_refused() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"not": {"$ref": "#"}}),
        json!({"anyOf": [{"type": "string"}, {"$ref": "#"}]}),
        json!({"if": {"$ref": "#"}}),
        json!({"then": true, "if": true, "else": {}, "dependencies": {"a": {"$ref": "#"}}}),
        json!({"$ref": "#/definitions/a", "definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"$ref": "#/definitions/a"}}}),
        json!({"$schema": D2019, "$recursiveRef": "#"}),
        json!({"$schema": D2020, "dependentSchemas": {"a": {"$ref": "#"}}}),
        json!({"$schema": D2020, "$dynamicRef": "#"}),
    ] {
        assert!(refused(&schema).contains("applies itself to the same value again"), "{schema}");
    }
    for schema in [
        json!({"$schema": D2020, "$dynamicAnchor": "x", "not": {"$dynamicRef": "#x"}}),
        json!({"$schema": D2019, "$recursiveAnchor": true, "not": {"$recursiveRef": "#"}}),
    ] {
        let error = check(&schema, &json!(1)).unwrap_err();
        assert!(error.to_string().contains("without end"), "{error}");
    }
}

#[test]
fn deep_documents_and_recursive_schemas_do_not_overflow_the_stack() {
    let recursive = [
        json!({"properties": {"a": {"$ref": "#"}}}),
        json!({"properties": {"a": {"allOf": [{"oneOf": [{"$ref": "#"}]}]}}, "type": "object"}),
        json!({"additionalProperties": {"if": true, "then": {"$ref": "#"}}}),
        json!({"$schema": D2020, "$dynamicAnchor": "n", "unevaluatedProperties": {"$dynamicRef": "#n"}}),
        json!({"$schema": D2019, "$recursiveAnchor": true, "properties": {"a": {"$recursiveRef": "#"}}}),
        json!({"$ref": "http://json-schema.org/draft-07/schema"}),
    ];
    // A worker's stack, as small as they come.
    let small = std::thread::Builder::new().stack_size(2 * MEBIBYTE);
    let checked = small.spawn(move || {
        for schema in &recursive {
            let compiled = compile(schema).unwrap();
            assert_eq!(compiled.check(&document(&nested(DEPTH_MAX_CEILING))).unwrap(), [], "{schema}");
        }
    });
    checked.unwrap().join().unwrap();
    let mut chain: Map<String, Value> =
        (0..100).map(|n| (n.to_string(), json!({"$ref": format!("#/definitions/{}", n + 1)}))).collect();
    chain.insert("100".into(), json!({"properties": {"a": {"$ref": "#/definitions/0"}}}));
    let schema = json!({"definitions": chain, "allOf": [{"$ref": "#/definitions/0"}]});
    assert_eq!(check(&schema, &nested(30)).unwrap(), []);
    assert!(too_large(&schema, &nested(DEPTH_MAX_CEILING)).to_string().contains("limit of 4096 levels"));
}

#[test]
fn deep_schemas_do_not_overflow_the_stack() {
    let compiled = std::thread::Builder::new().stack_size(MEBIBYTE).spawn(|| {
        let deepest = Config { schema_depth_max: 256, ..Config::default() };
        for draft in ["http://json-schema.org/draft-07/schema#", D2020] {
            let mut schema = (0..254).fold(json!({"type": "null"}), |inner, _| json!({"not": inner}));
            schema["$schema"] = json!(draft);
            assert_eq!(compile_within(deepest.clone(), &schema).unwrap().check(&document(&json!(null))).unwrap(), []);
            let mut schema = (0..127).fold(json!({"type": 1}), |inner, _| json!({"properties": {"a": inner}}));
            schema["$schema"] = json!(draft);
            let error = compile_within(deepest.clone(), &schema).unwrap_err();
            assert!(error.to_string().contains("must be array, and is number"), "{error}");
        }
    });
    compiled.unwrap().join().unwrap();
}

#[test]
fn schemas_that_multiply_are_stopped() {
    let doubled =
        |n: usize| json!({"allOf": [{"$ref": format!("#/definitions/d{n}")}, {"$ref": format!("#/definitions/d{n}")}]});
    let mut laughs: Map<String, Value> = (0..40).map(|n| (format!("d{n}"), doubled(n + 1))).collect();
    laughs.insert("d40".into(), json!({}));
    too_large(&json!({"definitions": laughs, "items": {"$ref": "#/definitions/d0"}}), &json!([1]));
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let twice = json!({keyword: [{"$ref": "#"}, {"$ref": "#"}]});
        too_large(&json!({"type": "object", "additionalProperties": twice}), &nested(64));
    }
    too_large(&json!({"patternProperties": {"a": {"$ref": "#"}, "^a": {"$ref": "#"}}}), &nested(64));
    too_large(
        &json!({"$schema": D2020, "properties": {"a": {"$ref": "#"}}, "allOf": [{"properties": {"a": {"$ref": "#"}}}]}),
        &nested(64),
    );
    // The same through references that lead to the outermost schema.
    let through = json!({"allOf": [{"$ref": "b"}, {"$ref": "b"}]});
    let anchor = json!({"$id": "b", "$dynamicRef": "#n", "$defs": {"n": {"$dynamicAnchor": "n"}}});
    let outer =
        json!({"$schema": D2020, "$dynamicAnchor": "n", "additionalProperties": through, "$defs": {"b": anchor}});
    too_large(&outer, &nested(64));
    let anchor = json!({"$id": "b", "$recursiveAnchor": true, "allOf": [{"$recursiveRef": "#"}]});
    let outer =
        json!({"$schema": D2019, "$recursiveAnchor": true, "additionalProperties": through, "$defs": {"b": anchor}});
    too_large(&outer, &nested(64));
    let meta = json!({"$ref": "http://json-schema.org/draft-07/schema"});
    too_large(&json!({"additionalProperties": {"allOf": [meta, {"$ref": "#"}, {"$ref": "#"}]}}), &nested(64));
}

#[test]
fn extending_a_meta_schema_is_refused() {
    let schema = json!({"$schema": D2020, "$dynamicAnchor": "meta", "allOf": [{"$ref": D2020}, {"$ref": D2020}]});
    assert!(refused(&schema).contains("extends a meta-schema"));
    let schema = json!({"$schema": D2019, "$recursiveAnchor": true, "allOf": [{"$ref": D2019}, {"$ref": D2019}]});
    assert!(refused(&schema).contains("extends a meta-schema"));
}

#[test]
fn alternatives_chosen_by_if_do_not_multiply() {
    let kinds: Vec<Value> = (0..20)
        .map(|n| {
            let kind = json!({"properties": {"kind": {"const": n}}, "required": ["kind"]});
            json!({"if": kind, "then": {"properties": {"a": {"$ref": "#"}}}})
        })
        .collect();
    let schema = json!({"required": ["kind"], "allOf": kinds});
    let value = (0..60).fold(json!({"kind": 0}), |inner, n| json!({"kind": n % 20, "a": inner}));
    assert_eq!(check(&schema, &value).unwrap(), []);
    let value = (0..60).fold(json!({}), |inner, n| json!({"kind": n % 20, "a": inner}));
    assert_eq!(check(&schema, &value).unwrap()[0].keyword, "required");
}

#[test]
fn usual_documents_of_a_mebibyte_are_within_the_limits() {
    let row =
        json!({"id": 17, "name": "a name", "tags": ["one", "two"], "position": {"x": 1.5, "y": -2.5}, "ok": true});
    let rows = MEBIBYTE / (row.to_string().len() + 1);
    let point = json!({"type": "object", "required": ["x", "y"], "additionalProperties": false,
        "properties": {"x": {"type": "number", "maximum": 10}, "y": {"type": "number"}}});
    let schema = json!({"type": "array", "items": {"oneOf": [{"type": "null"}, {"$ref": "#/definitions/row"}]}, "definitions": {
        "point": point, "name": {"type": "string", "pattern": "^[a-z ]+$", "minLength": 1, "maxLength": 64},
        "row": {"type": "object", "required": ["id", "name"], "additionalProperties": false, "properties": {
            "id": {"type": "integer", "minimum": 0}, "name": {"$ref": "#/definitions/name"},
            "tags": {"type": "array", "items": {"$ref": "#/definitions/name"}, "uniqueItems": true},
            "position": {"anyOf": [{"$ref": "#/definitions/point"}, {"type": "array"}]}, "ok": {"enum": [true, false]}}}}});
    let mut value = Value::from(vec![row; rows]);
    assert_eq!(check(&schema, &value).unwrap(), []);
    value[rows - 1]["position"]["z"] = json!(0);
    value[7]["name"] = json!(7);
    let found = check(&schema, &value).unwrap();
    assert!(found.iter().any(|one| one.pointer == "/7/name" && one.keyword == "type"), "{found:?}");
    assert!(found.iter().any(|one| one.pointer == format!("/{}/position/z", rows - 1)), "{found:?}");
    assert_eq!(check(&json!({"items": {"type": "number", "minimum": 0}}), &zeros(MEBIBYTE)).unwrap(), []);
}

#[test]
fn hostile_values_of_a_mebibyte_are_stopped() {
    let escapes = Value::from("\\d".repeat(MEBIBYTE / 2));
    too_large(&json!({"format": "regex"}), &escapes);
    // The same leaves cut into arrays in every way: all different, and boon's hash is the same for all.
    let cut = |ways: usize| {
        let mut parts = vec![vec![0]];
        for bit in 0..14 {
            if ways >> bit & 1 == 1 { parts.push(vec![0]) } else { parts.last_mut().unwrap().push(0) }
        }
        json!(parts)
    };
    too_large(&json!({"uniqueItems": true}), &(0..1 << 14).map(cut).collect());
    let codes: Vec<String> = (0..20_000).map(|n| n.to_string()).collect();
    too_large(&json!({"items": {"enum": codes}}), &Value::from(vec!["x"; 200_000]));
    too_large(&json!({"items": {"pattern": "[01]*1[01]{400}$"}}), &json!(["01".repeat(MEBIBYTE / 2)]));
    let names: Vec<String> = (0..5000).map(|n| n.to_string()).collect();
    too_large(&json!({"items": {"required": names}}), &Value::from(vec![json!({}); 200_000]));
    let schemas = vec![json!({"minimum": 1}); 50];
    too_large(&json!({"items": {"allOf": schemas}}), &zeros(MEBIBYTE));
    too_large(
        &json!({"$schema": D2020, "allOf": vec![json!({"minItems": 1}); 50], "unevaluatedItems": false}),
        &zeros(MEBIBYTE),
    );
}

#[test]
fn violations_have_a_limit_in_number_and_size() {
    let found = check(&json!({"items": {"type": "string"}}), &zeros(MEBIBYTE)).unwrap();
    assert_eq!(found.len(), VIOLATIONS_MAX);
    let long = "x".repeat(50_000);
    let found =
        check(&json!({"additionalProperties": {"type": "string"}}), &json!({long.as_str(): 1, "y": 2})).unwrap();
    assert_eq!(found[0].pointer, "", "too long to give, so the object it is in is given");
    assert_eq!(found[1].pointer, "/y");
    let names: Map<String, Value> = (0..60).map(|n| (format!("{n}{}", "x".repeat(4000)), json!(n))).collect();
    let found = check(&json!({"additionalProperties": false}), &Value::Object(names)).unwrap();
    assert!(found.len() < 60 && found.len() > 10, "{}", found.len());
    // A list would weigh hundreds of megabytes: the document is refused without one.
    let schema = json!({"items": {"allOf": [{"minimum": 1}, {"maximum": -1}]}});
    let found = check(&schema, &zeros(MEBIBYTE)).unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("too large to list"));
}

#[test]
fn limits_are_settings() {
    let narrow = Config { check_steps_max: 1000, ..Config::default() };
    let compiled = compile_within(narrow, &json!({"items": {"type": "number"}})).unwrap();
    assert_eq!(compiled.check(&document(&json!([1, 2]))).unwrap(), []);
    assert!(compiled.check(&document(&json!(vec![1; 100]))).unwrap_err().to_string().contains("limit of 1000 steps"));
    let meta = json!({"$ref": "http://json-schema.org/draft-07/schema"});
    let narrow = Config { check_steps_max: 50_000, ..Config::default() };
    let compiled = compile_within(narrow, &meta).unwrap();
    assert_eq!(compiled.check(&document(&json!({"enum": [1, 2]}))).unwrap(), []);
    assert!(compiled.check(&document(&json!({"enum": [1, 2, 3, vec![4; 100]]}))).is_err());
    let error = JsonSchema::new(Config { schema_depth_max: 10_000, ..Config::default() }).unwrap_err();
    assert_eq!(error.to_string(), "settings of plug-in jsonschema: schema_depth_max must be at most 256");
}
