//! What a schema can reach, and what it cannot.

use std::cell::RefCell;
use std::collections::BTreeMap;

use delta_core::document::{DEPTH_MAX_CEILING, Document};
use delta_core::name::SchemaId;
use delta_core::validator::CompiledSchema;
use serde_json::{Value, json};

use crate::JsonSchema;
use crate::validator::Compiled;

const D2020: &str = "https://json-schema.org/draft/2020-12/schema";

fn document(value: &Value) -> Document {
    Document::parse(value.to_string().as_bytes(), DEPTH_MAX_CEILING).unwrap()
}

/// Compiles the first schema of a store.
fn compile(store: &[(&str, Value)]) -> delta_core::Result<Compiled> {
    let others: BTreeMap<&str, Document> = store.iter().map(|(id, schema)| (*id, document(schema))).collect();
    let id = SchemaId::parse(store[0].0).unwrap();
    JsonSchema::default().compiled(&id, &others[store[0].0], &|id| others.get(id.as_str()).cloned())
}

fn refused(store: &[(&str, Value)]) -> String {
    let error = compile(store).unwrap_err();
    assert_eq!(error.code(), "invalid_schema", "{error}");
    error.to_string()
}

fn valid(compiled: &Compiled, value: Value) -> bool {
    compiled.check(&document(&value)).unwrap().is_empty()
}

#[test]
fn references_reach_schemas_of_the_store_however_they_are_written() {
    for reference in ["delta:///name.v1", "name.v1", "/name.v1", "./name.v1", "name.v1#", "name.v1#/definitions/text"] {
        let named = json!({"definitions": {"text": {"type": "string"}}, "type": "string"});
        let compiled =
            compile(&[("a", json!({"$id": "a", "items": {"$ref": reference}})), ("name.v1", named)]).unwrap();
        assert!(valid(&compiled, json!(["x"])) && !valid(&compiled, json!([1])), "{reference}");
    }
}

#[test]
fn references_reach_places_that_no_keyword_leads_to() {
    let part = json!({"$id": "part", "items": {"$ref": "#/text"}, "text": {"type": "string"}});
    let schema = json!({"components": {"list": part}, "$ref": "#/components/list"});
    let compiled = compile(&[("a", schema)]).unwrap();
    assert!(valid(&compiled, json!(["x"])) && !valid(&compiled, json!([1])));
}

#[test]
fn references_reach_through_other_schemas_and_back() {
    let tree = json!({"properties": {"kids": {"items": {"$ref": "leaf"}}}, "required": ["kids"]});
    let leaf = json!({"anyOf": [{"type": "integer"}, {"$ref": "tree"}]});
    let compiled = compile(&[("tree", tree), ("leaf", leaf)]).unwrap();
    assert!(valid(&compiled, json!({"kids": [1, {"kids": []}]})) && !valid(&compiled, json!({"kids": [{}]})));
}

#[test]
fn references_reach_the_meta_schemas_and_nothing_else_outside() {
    let compiled = compile(&[("a", json!({"$ref": "http://json-schema.org/draft-07/schema#"}))]).unwrap();
    assert!(valid(&compiled, json!({"minLength": 1})) && !valid(&compiled, json!({"minLength": -1})));
    for url in [
        "http://localhost/x",
        "https://example.com/schema.json",
        "file:///etc/passwd",
        "data:,{}",
        "urn:example:x",
        "delta://host/x",
        "delta:x",
        "delta:///a/b",
        "delta:///x?y",
        "delta:///.x",
        "//host/x",
        "a/b",
        "delta:///x%2Fy",
        "FILE:/x",
    ] {
        let error = refused(&[("a", json!({"properties": {"p": {"$ref": url}}}))]);
        assert!(error.starts_with("schema a at /properties/p refers to \""), "{error}");
        assert!(error.contains("only schemas of the store"), "{error}");
    }
    // boon carries no such file.
    assert!(
        refused(&[("a", json!({"$ref": "https://json-schema.org/draft-99/schema"}))]).contains("no known meta-schema")
    );
}

#[test]
fn no_file_is_read_and_no_connection_made() {
    let file = std::env::temp_dir().join(format!("confined-{}.json", std::process::id()));
    std::fs::write(&file, r#"{"const": "secret"}"#).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let by_path = file.to_str().unwrap().to_owned();
    for url in [format!("file://{by_path}"), by_path, format!("http://127.0.0.1:{port}/x")] {
        for keyword in ["$ref", "$schema"] {
            let error = refused(&[("a", json!({keyword: url}))]);
            assert!(!error.contains("secret"), "{error}");
        }
        let schema = json!({"$schema": D2020, "allOf": [{"$dynamicRef": url}], "$id": url});
        assert!(!compile(&[("a", schema)]).is_ok_and(|compiled| valid(&compiled, json!("secret"))));
    }
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn an_id_moves_relative_references_out_of_the_store() {
    let error = refused(&[("a", json!({"$id": "https://example.com/a", "items": {"$ref": "b"}})), ("b", json!({}))]);
    assert!(error.contains("refers to \"https://example.com/b\", and only"), "{error}");
}

#[test]
fn a_schema_that_names_itself_like_another_harms_only_itself() {
    let thief = json!({
        "$id": "delta:///b", "type": "integer",
        "definitions": {
            "meta": {"$id": "http://json-schema.org/draft-07/schema", "type": "boolean"},
            "c": {"$id": "delta:///c", "type": "null"},
        },
    });
    // Whoever refers to the thief, to what it claims to be, and to the meta-schema gets each of them as it is.
    let reader = json!({"items": [
        {"$ref": "thief"}, {"$ref": "b"}, {"$ref": "c"}, {"$ref": "http://json-schema.org/draft-07/schema"},
    ]});
    let [b, c] = [json!({"type": "string"}), json!({"type": "array"})];
    let compiled = compile(&[("reader", reader), ("thief", thief), ("b", b), ("c", c)]).unwrap();
    assert!(valid(&compiled, json!([1, "x", [], {}])));
    for wrong in [json!(["x"]), json!([1, 1]), json!([1, "x", null]), json!([1, "x", [], {"type": 1}])] {
        assert!(!valid(&compiled, wrong.clone()), "{wrong}");
    }
}

#[test]
fn the_draft_is_the_one_named_and_draft_07_where_none_is() {
    let compiled =
        compile(&[("a", json!({"definitions": {"n": {"minimum": 3}}, "$ref": "#/definitions/n", "maximum": 1}))]);
    assert!(valid(&compiled.unwrap(), json!(5)), "before 2019-09 a $ref hides what is beside it");
    let compiled = compile(&[("a", json!({"$schema": D2020, "prefixItems": [{"type": "string"}]}))]).unwrap();
    assert!(!valid(&compiled, json!([1])));
    let compiled = compile(&[("a", json!({"$schema": "meta", "x": 1})), ("meta", json!({"$schema": D2020}))]);
    assert!(compiled.unwrap_err().to_string().contains("has a $schema, \"meta\", that is neither"));
    let by_meta = [
        ("a", json!({"$schema": "delta:///meta", "prefixItems": [{"type": "string"}]})),
        ("meta", json!({"$schema": D2020})),
    ];
    assert!(!valid(&compile(&by_meta).unwrap(), json!([1])));
    for name in ["http://json-schema.org/draft-03/schema#", "https://example.com/x", "file:///x", "delta:///a", "x", ""]
    {
        assert!(refused(&[("a", json!({"$schema": name}))]).contains("has a $schema"), "{name}");
    }
    let circle = [("a", json!({"$schema": "delta:///b"})), ("b", json!({"$schema": "delta:///a"}))];
    assert!(refused(&circle).contains("has a $schema"));
}

#[test]
fn all_missing_schemas_are_asked_for_at_once() {
    let asked = RefCell::new(Vec::new());
    let schema = json!({"items": [{"$ref": "b"}, {"$ref": "c#/x"}, {"$ref": "d"}]});
    let error = JsonSchema::default()
        .compiled(&SchemaId::parse("a").unwrap(), &document(&schema), &|id| {
            asked.borrow_mut().push(id.to_string());
            (id.as_str() == "d").then(|| document(&json!({"items": {"$ref": "e"}})))
        })
        .unwrap_err();
    assert_eq!(error.to_string(), "schema a at /items/0 refers to schema b, which does not exist");
    assert_eq!(asked.into_inner(), ["b", "c", "d", "e"]);
}

#[test]
fn what_does_not_compile_says_where() {
    let of = |schema: Value| refused(&[("a", schema)]);
    assert_eq!(
        of(json!({"properties": {"x": {"type": "strin"}}})).split(": ").next().unwrap(),
        "schema a at /properties/x/type matches none of the alternatives; must be one of \"array\", \"boolean\", \"integer\", \"null\", \"number\", \"object\", \"string\"; must be array, and is string"
    );
    assert_eq!(of(json!({"minLength": -1})), "schema a at /minLength must be at least 0");
    assert_eq!(of(json!(17)), "schema a must be boolean or object, and is number");
    assert_eq!(
        of(json!({"items": {"$ref": "#/definitions/x"}})),
        "schema a at /items refers to \"#/definitions/x\", which is not there"
    );
    assert_eq!(of(json!({"items": {"$ref": "#x"}})), "schema a at /items refers to \"#x\", which is not there");
    assert!(of(json!({"items": {"pattern": "(?=x)"}})).starts_with(
        "schema a at /items under pattern is not a regular expression that can be used, \"(?=x)\": look-around"
    ));
    assert!(
        of(json!({"patternProperties": {"(": {}}})).starts_with("schema a under patternProperties is not a regular")
    );
    assert!(
        of(json!({"definitions": {"unused": {"pattern": "("}}}))
            .starts_with("schema a at /definitions/unused/pattern must be a valid regex")
    );
    assert!(of(json!({"allOf": [{"$id": "x"}, {"$id": "x"}]})).contains("the $id of another part"));
    assert!(of(json!({"allOf": [{"$id": "#x"}, {"$id": "#x"}]})).contains("the anchor \"x\" twice"));
    let other = refused(&[("a", json!({"$ref": "b"})), ("b", json!({"type": 1}))]);
    assert!(other.starts_with("schema b at /type "), "{other}");
}
