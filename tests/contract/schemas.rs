//! Schemas: readable by everybody, written by those who may, in force from the next write on.

use delta_tests::http::Client;
use serde_json::json;

use crate::support::{directory, problem, serve, server};

#[test]
fn a_schema_is_put_read_listed_and_deleted() {
    let (_directory, server) = server();
    let (mut admin, mut anyone) = (server.admin(), server.anonymous());
    assert_eq!(anyone.get("/admin/schemas").expect(200).json(), json!([]));
    let text = "{ \"$id\":\"chat.v1\",\n \"type\" : \"object\" }\n";
    for (id, source) in [("zoo", "true"), ("chat.v1", "{}"), ("chat.v1", text), ("chat.v1", text)] {
        assert_eq!(admin.put(&format!("/schema/{id}"), source).expect(200).json(), json!({"status": "ok"}));
    }
    assert_eq!(anyone.get("/admin/schemas").expect(200).json(), json!(["chat.v1", "zoo"]));
    let read = anyone.get("/schema/chat.v1").expect(200);
    assert_eq!((read.text(), read.header("content-type")), (text, Some("application/json")));
    assert_eq!(admin.delete("/schema/chat.v1").expect(200).json(), json!({"status": "ok"}));
    problem(&admin.delete("/schema/chat.v1"), 404, "not_found");
    problem(&anyone.get("/schema/chat.v1"), 404, "not_found");
    assert_eq!(anyone.get("/admin/schemas").expect(200).json(), json!(["zoo"]));
}

#[test]
fn what_is_no_schema_is_refused_and_changes_nothing() {
    let (_directory, server) = server();
    let mut client = server.admin();
    client.put("/schema/s", "{\"type\":\"string\"}").expect(200);
    for bad in ["", "{", "{\"type\":\"object\",\"type\":\"string\"}", "\u{feff}{}"] {
        problem(&client.put("/schema/s", bad), 400, "bad_json");
    }
    for bad in [
        "1",
        "[]",
        "\"object\"",
        "{\"type\":\"nothing\"}",
        "{\"properties\":[]}",
        "{\"required\":\"n\"}",
        "{\"$ref\":\"#/definitions/absent\"}",
        "{\"pattern\":\"(\"}",
        "{\"$schema\":\"http://json-schema.org/draft-99/schema#\"}",
    ] {
        problem(&client.put("/schema/s", bad), 400, "invalid_schema");
        problem(&client.put("/schema/new", bad), 400, "invalid_schema");
    }
    assert_eq!(client.get("/schema/s").expect(200).text(), "{\"type\":\"string\"}");
    assert_eq!(client.get("/admin/schemas").json(), json!(["s"]));
    for id in [".s", "a%2Fb", "a%20b", "s@1", &"x".repeat(129)] {
        problem(&client.put(&format!("/schema/{id}"), "{}"), 400, "invalid_schema_id");
        problem(&client.get(&format!("/schema/{id}")), 400, "invalid_schema_id");
    }
}

fn put(client: &mut Client, document: &str) -> u16 {
    client.put("/entity/db/k", document).status
}

#[test]
fn a_schema_counts_from_the_next_write_on_and_after_a_restart() {
    let directory = directory();
    let server = serve(&directory).up();
    let mut client = server.admin();
    assert_eq!(put(&mut client, "\"free\""), 201);
    client.put("/schema/db", "{\"type\":\"integer\"}").expect(200);
    assert_eq!((put(&mut client, "\"free\""), put(&mut client, "1")), (400, 200));
    client.put("/schema/db", "{\"type\":\"string\"}").expect(200);
    assert_eq!((put(&mut client, "\"free\""), put(&mut client, "1")), (200, 400));
    server.kill();
    let server = serve(&directory).up();
    let mut client = server.admin();
    assert_eq!((put(&mut client, "\"free\""), put(&mut client, "1")), (200, 400));
    client.delete("/schema/db").expect(200);
    assert_eq!(put(&mut client, "1"), 200);
}

#[test]
fn every_violation_is_named_with_its_place() {
    let (_directory, server) = server();
    let mut client = server.admin();
    let schema = r#"{"type":"object","required":["a","b"],"additionalProperties":false,
        "properties":{"a":{"type":"array","items":{"type":"integer","minimum":3}},"b":{},"e":{"enum":[1]}}}"#;
    client.put("/schema/db", schema).expect(200);
    let body = problem(&client.put("/entity/db/k", r#"{"a":[1,"x",4],"e":2,"z":0}"#), 400, "schema_violation");
    let mut found: Vec<_> = body["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|violation| {
            let text = |member: &str| violation[member].as_str().unwrap().to_owned();
            assert!(text("schema_pointer").ends_with(&format!("/{}", text("keyword"))), "{violation}");
            (text("pointer"), text("keyword"))
        })
        .collect();
    found.sort_unstable();
    let expected =
        [("", "required"), ("/a/0", "minimum"), ("/a/1", "type"), ("/e", "enum"), ("/z", "additionalProperties")];
    assert_eq!(found, expected.map(|(pointer, keyword)| (pointer.to_owned(), keyword.to_owned())));
    problem(&client.get("/entity/db/k"), 404, "not_found");
}

#[test]
fn drafts_4_to_2020_12_are_known_and_draft_7_is_meant_where_none_is_named() {
    let (_directory, server) = server();
    let mut client = server.admin();
    for draft in [
        "http://json-schema.org/draft-04/schema#",
        "http://json-schema.org/draft-06/schema#",
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2019-09/schema",
        "https://json-schema.org/draft/2020-12/schema",
    ] {
        client.put("/schema/db", format!("{{\"$schema\":\"{draft}\",\"type\":\"integer\"}}")).expect(200);
        assert_eq!(put(&mut client, "\"x\""), 400, "{draft}");
    }
    // `items` as an array is draft-07, and has another name in 2020-12; `format` is asserted.
    client.put("/schema/db", r#"{"items":[{"type":"integer"},{"format":"date"}]}"#).expect(200);
    assert_eq!(put(&mut client, "[\"x\"]"), 400);
    assert_eq!(put(&mut client, "[1,\"2026-02-30\"]"), 400);
    assert_eq!(put(&mut client, "[1,\"2026-02-28\"]"), 201);
}

#[test]
fn a_reference_reaches_schemas_of_the_store_and_nothing_else() {
    let (_directory, server) = server();
    let mut client = server.admin();
    client.put("/schema/person", "{\"type\":\"object\",\"required\":[\"name\"]}").expect(200);
    client.put("/schema/db", "{\"type\":\"array\",\"items\":{\"$ref\":\"person\"}}").expect(200);
    assert_eq!((put(&mut client, "[{}]"), put(&mut client, "[{\"name\":1}]")), (400, 201));
    // What it refers to counts for the next write, too.
    client.put("/schema/person", "{\"type\":\"object\"}").expect(200);
    assert_eq!(put(&mut client, "[{}]"), 200);
    // A listener that must never be called.
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let url = format!("http://{}/schema.json", trap.local_addr().unwrap());
    for reference in [url.as_str(), "file:///etc/passwd", "https://example.org/s", "absent", "../../etc/passwd"] {
        problem(&client.put("/schema/outside", format!("{{\"$ref\":\"{reference}\"}}")), 400, "invalid_schema");
    }
    assert_eq!(trap.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}
