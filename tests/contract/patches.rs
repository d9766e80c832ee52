//! Changing and reading a part of a document.

use delta_tests::http::{Client, Request, Response};
use serde_json::json;

use crate::support::{problem, server};

const K: &str = "/entity/db/k";
const MERGE: &str = "application/merge-patch+json";
const OPERATIONS: &str = "application/json-patch+json";

fn patch(client: &mut Client, content_type: &str, body: &str) -> Response {
    client.send(&Request::new("PATCH", K).header("Content-Type", content_type).body(body))
}

#[test]
fn a_patch_changes_a_part_by_the_rules_of_its_type() {
    let (_directory, server) = server();
    let mut client = server.admin();
    problem(&patch(&mut client, MERGE, "{}"), 404, "not_found");
    client.put(K, "{\"n\": 1.50, \"list\": [1], \"gone\": true}").expect(201);
    let merged = patch(&mut client, MERGE, "{\"gone\":null,\"new\":{\"a\":1}}").expect(200);
    assert_eq!((&merged.json()["status"], &merged.json()["version"]), (&json!("ok"), &json!(2)));
    let read = client.get(K).expect(200);
    assert_eq!(read.header("etag"), merged.header("etag"));
    assert_eq!(read.json(), json!({"n": 1.5, "list": [1], "new": {"a": 1}}));
    assert!(read.text().contains("1.50"), "{read:?}");
    let operations = r#"[{"op":"test","path":"/n","value":1.5},{"op":"add","path":"/list/-","value":2}]"#;
    patch(&mut client, &format!("{OPERATIONS}; charset=utf-8"), operations).expect(200);
    assert_eq!(client.get(K).json()["list"], json!([1, 2]));
    let failing = r#"[{"op":"remove","path":"/n"},{"op":"test","path":"/list","value":[]}]"#;
    problem(&patch(&mut client, OPERATIONS, failing), 409, "patch_test_failed");
    problem(&patch(&mut client, OPERATIONS, r#"[{"op":"remove","path":"/none"}]"#), 409, "patch_failed");
    problem(&patch(&mut client, OPERATIONS, r#"{"op":"remove"}"#), 400, "bad_patch");
    problem(&patch(&mut client, MERGE, "{\"a\":1,\"a\":2}"), 400, "bad_json");
    assert_eq!(client.get(K).json()["n"], json!(1.5));
}

#[test]
fn a_patch_needs_its_type() {
    let (_directory, server) = server();
    let mut client = server.admin();
    client.put(K, "{}").expect(201);
    for other in ["application/json", "text/plain", "application/x-www-form-urlencoded", ""] {
        problem(&patch(&mut client, other, "{}"), 415, "unsupported_media_type");
    }
    problem(&client.send(&Request::new("PATCH", K).body("{}")), 415, "unsupported_media_type");
}

#[test]
fn what_a_patch_makes_is_validated() {
    let (_directory, server) = server();
    let mut client = server.admin();
    client.put("/schema/db", r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#).expect(200);
    client.put(K, "{\"n\":1}").expect(201);
    let body = problem(&patch(&mut client, MERGE, "{\"n\":\"x\"}"), 400, "schema_violation");
    assert_eq!(body["violations"][0]["pointer"], json!("/n"));
    assert_eq!(client.get(K).json(), json!({"n": 1}));
    let twice = r#"{"op":"copy","from":"","path":"/a"},{"op":"copy","from":"","path":"/b"}"#;
    let growing = format!("[{}]", [twice; 40].join(","));
    problem(&patch(&mut client, OPERATIONS, &growing), 413, "too_large");
}

#[test]
fn a_pointer_reads_a_part_byte_for_byte() {
    let (_directory, server) = server();
    let mut client = server.admin();
    let put = client.put(K, r#"{"a":{"b":[1.0 , "x"]},"":0,"m~n":{"/":7}}"#).expect(201);
    for (pointer, part) in [("/a/b", "[1.0 , \"x\"]"), ("/a/b/0", "1.0"), ("/", "0"), ("/m~0n/~1", "7")] {
        let answer = client.get(&format!("{K}?pointer={}", pointer.replace('~', "%7E"))).expect(200);
        assert_eq!(answer.text(), part, "{pointer}");
        assert_eq!(answer.header("etag"), put.header("etag"));
    }
    assert_eq!(client.get(&format!("{K}?pointer=")).expect(200).json()["a"]["b"][1], json!("x"));
    for missing in ["/none", "/a/b/2", "/a/b/-", "/a/b/00"] {
        problem(&client.get(&format!("{K}?pointer={missing}")), 404, "pointer_not_found");
    }
    problem(&client.get(&format!("{K}?pointer=a")), 400, "invalid_pointer");
    problem(&client.get(&format!("{K}?pointer=/%7E2")), 400, "invalid_pointer");
}
