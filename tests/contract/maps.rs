//! Many entities in one PUT: checked as a whole, written as a whole.

use serde_json::{Value, json};

use crate::support::{problem, server};

const SCHEMA: &str = r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}"#;

#[test]
fn a_map_writes_each_member_and_answers_each_version() {
    let (_directory, server) = server();
    let mut client = server.admin();
    client.put("/entity/db/b", "0").expect(201);
    let answer = client.put("/entity/db", "{ \"a\": {\"x\" : 1.0},\n\"b\" :[ 2 ] , \"ключ\":null}").expect(200);
    let body = answer.json();
    assert_eq!((&body["status"], &body["versions"]), (&json!("ok"), &json!({"a": 1, "b": 2, "ключ": 1})));
    assert_eq!(body["etags"]["b"].as_str(), client.get("/entity/db/b").header("etag"));
    for (key, document) in [("a", "{\"x\" : 1.0}"), ("b", "[ 2 ]"), ("%D0%BA%D0%BB%D1%8E%D1%87", "null")] {
        assert_eq!(client.get(&format!("/entity/db/{key}")).expect(200).text(), document);
    }
}

#[test]
fn a_map_is_an_object_with_at_least_one_member() {
    let (_directory, server) = server();
    let mut client = server.admin();
    for body in ["{}", " { } ", "[]", "[1]", "1", "null", "\"a\"", "", "{\"a\":1", "{\"a\":1}}", "{\"a\":1,}", "{a:1}"]
    {
        problem(&client.put("/entity/db", body), 400, "bad_json");
    }
    assert_eq!(client.get("/api/databases").json(), json!([]));
}

#[test]
fn one_bad_document_and_none_is_written_with_every_violation_named() {
    let (_directory, server) = server();
    let mut client = server.admin();
    client.put("/schema/db", SCHEMA).expect(200);
    let body = problem(&client.put("/entity/db", r#"{"a":{"n":1},"b~c":{"n":"x"},"d":{}}"#), 400, "schema_violation");
    let violations = body["violations"].as_array().unwrap();
    let places: Vec<_> = violations.iter().map(|violation| (&violation["pointer"], &violation["keyword"])).collect();
    assert_eq!(places, [(&json!("/b~0c/n"), &json!("type")), (&json!("/d"), &json!("required"))]);
    for violation in violations {
        let mut members: Vec<_> = violation.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["keyword", "message", "pointer", "schema_pointer"]);
        assert!(violation.as_object().unwrap().values().all(Value::is_string), "{violation}");
    }
    for key in ["a", "b~c", "d"] {
        problem(&client.get(&format!("/entity/db/{key}")), 404, "not_found");
    }
    assert_eq!(client.put("/entity/db", r#"{"a":{"n":1}}"#).expect(200).json()["versions"], json!({"a": 1}));
}

#[test]
fn one_bad_key_and_none_is_written() {
    let (_directory, server) = server();
    let mut client = server.admin();
    let long = "k".repeat(513);
    for (key, code) in [
        ("", "invalid_key"),
        ("x/y", "invalid_key"),
        ("x\\\\y", "invalid_key"),
        ("x..y", "invalid_key"),
        ("x\\ny", "invalid_key"),
        ("x\\u0085", "invalid_key"),
        (&long, "invalid_key"),
        ("a", "bad_json"),
        ("\\u0061", "bad_json"),
    ] {
        problem(&client.put("/entity/db", format!("{{\"a\":1,\"{key}\":2}}")), 400, code);
        problem(&client.get("/entity/db/a"), 404, "not_found");
    }
}

#[test]
fn a_map_has_at_most_a_thousand_members() {
    let (_directory, server) = server();
    let mut client = server.admin();
    let map = |members: usize| {
        let members: Vec<_> = (0..members).map(|at| format!("\"k{at}\":{at}")).collect();
        format!("{{{}}}", members.join(","))
    };
    let body = problem(&client.put("/entity/db", map(1_001)), 413, "too_large");
    assert!(body["detail"].as_str().unwrap().contains("1000"), "{body}");
    assert_eq!(client.get("/api/databases").json(), json!([]));
    let versions = client.put("/entity/db", map(1_000)).expect(200).json()["versions"].as_object().unwrap().len();
    assert_eq!(versions, 1_000);
    assert_eq!(client.get("/entity/db/k999").expect(200).text(), "999");
}

#[test]
fn a_map_can_name_the_schema_to_check_against() {
    let (_directory, server) = server();
    let mut client = server.admin();
    client.put("/schema/other", SCHEMA).expect(200);
    problem(&client.put("/entity/db?schema_id=other", r#"{"a":{}}"#), 400, "schema_violation");
    problem(&client.put("/entity/db?schema_id=none", r#"{"a":{}}"#), 400, "unknown_schema");
    problem(&client.put("/entity/db?schema_id=a%2Fb", r#"{"a":{}}"#), 400, "invalid_schema_id");
    client.put("/entity/db?schema_id=other", r#"{"a":{"n":1}}"#).expect(200);
    client.put("/entity/db", r#"{"a":{}}"#).expect(200);
    problem(&client.put("/entity/db/a?schema_id=other", "{}"), 400, "schema_violation");
    problem(&client.put("/entity/db/a?schema_id=none", "{}"), 400, "unknown_schema");
}
