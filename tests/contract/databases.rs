//! The settings of a database, and its end.

use std::time::{Duration, Instant};

use delta_tests::http::{Client, Request};
use serde_json::json;

use crate::support::{directory, problem, serve, server};

const DB: &str = "/api/databases/db";

#[test]
fn a_database_exists_while_it_has_entities_or_settings() {
    let (_directory, server) = server();
    let mut client = server.admin();
    problem(&client.get(DB), 404, "not_found");
    client.put("/entity/db/k", "1").expect(201);
    let plain = json!({"database": "db", "status": "ready", "require_schema": false});
    assert_eq!(client.get(DB).expect(200).json(), plain);
    client.delete("/entity/db/k").expect(200);
    problem(&client.get(DB), 404, "not_found");
    client.put("/schema/s", "{}").expect(200);
    let bound = json!({"database": "db", "status": "ready", "schema_id": "s", "require_schema": false});
    assert_eq!(client.put(DB, r#"{"schema_id":"s"}"#).expect(200).json(), bound);
    assert_eq!(client.get(DB).expect(200).json(), bound);
    for (bad, code) in [
        (r#"{"schema_id":"none"}"#, "unknown_schema"),
        (r#"{"schema_id":"../x"}"#, "invalid_schema_id"),
        (r#"{"history":3}"#, "bad_json"),
        ("[]", "bad_json"),
    ] {
        problem(&client.put(DB, bad), 400, code);
    }
    assert_eq!(client.get(DB).expect(200).json(), bound);
}

#[test]
fn a_bound_schema_counts_for_every_write_and_cannot_be_deleted() {
    let directory = directory();
    let server = serve(&directory).up();
    let mut client = server.admin();
    client.put("/schema/s", r#"{"type":"integer"}"#).expect(200);
    client.put("/schema/other", "{}").expect(200);
    client.put(DB, r#"{"schema_id":"s"}"#).expect(200);
    server.kill();
    let server = serve(&directory).up();
    let mut client = server.admin();
    client.put("/entity/db/k", "1").expect(201);
    problem(&client.put("/entity/db/k", "\"x\""), 400, "schema_violation");
    problem(&client.put("/entity/db", "{\"k\":\"x\"}"), 400, "schema_violation");
    problem(&client.put("/entity/db/k?schema_id=other", "1"), 400, "schema_mismatch");
    client.put("/entity/db/k?schema_id=s", "2").expect(200);
    problem(&client.delete("/schema/s"), 409, "schema_in_use");
    client.put(DB, "{}").expect(200);
    client.delete("/schema/s").expect(200);
    client.put("/entity/db/k", "\"x\"").expect(200);
}

#[test]
fn a_schema_can_be_required() {
    let (_directory, server) = server();
    let mut client = server.admin();
    client.put(DB, r#"{"require_schema":true}"#).expect(200);
    problem(&client.put("/entity/db/k", "1"), 400, "schema_required");
    client.put("/schema/db", "{}").expect(200);
    client.put("/entity/db/k", "1").expect(201);
    client.put("/entity/other/k", "1").expect(201);
}

/// Waits until a database is gone, and gives what was told about it meanwhile.
fn gone(client: &mut Client) -> Vec<serde_json::Value> {
    let until = Instant::now() + Duration::from_secs(60);
    let mut told = Vec::new();
    loop {
        let answer = client.get(DB);
        if answer.status == 404 {
            return told;
        }
        told.push(answer.expect(200).json());
        assert!(Instant::now() < until, "{:?}", told.last());
    }
}

#[test]
fn a_dropped_database_is_unusable_at_once_then_gone_and_free() {
    let (_directory, server) = server();
    let mut client = server.admin();
    problem(&client.delete(DB), 404, "not_found");
    for batch in 0..5 {
        let documents: serde_json::Map<_, _> = (0..1000).map(|n| (format!("{batch}-{n}"), json!(n))).collect();
        client.put("/entity/db", serde_json::Value::Object(documents).to_string()).expect(200);
    }
    client.put("/entity/kept/k", "1").expect(201);
    client.put(DB, r#"{"require_schema":false}"#).expect(200);
    let dropped = client.delete(DB).expect(202).json();
    assert_eq!(dropped["status"], json!("dropping"));
    // Until it is gone every request is refused, and none sees a part of it.
    let mut refused = 0;
    let until = Instant::now() + Duration::from_secs(60);
    while client.get(DB).status == 200 {
        for (method, target) in
            [("GET", "/entity/db/4-999"), ("DELETE", "/entity/db/4-999"), ("GET", "/api/databases/db/keys")]
        {
            let answer = client.send(&Request::new(method, target));
            match answer.status {
                409 => refused += usize::from(problem(&answer, 409, "dropping")["status"] == 409),
                // It was gone by then.
                _ => assert_eq!(client.get(DB).status, 404, "{method} {target}: {answer:?}"),
            }
        }
        assert!(Instant::now() < until);
    }
    println!("{refused} requests were refused meanwhile");
    problem(&client.get("/entity/db/1-1"), 404, "not_found");
    client.put("/entity/db/new", "1").expect(201);
    assert_eq!(client.get("/api/databases/db/keys").expect(200).json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(client.get("/entity/kept/k").expect(200).body, b"1");
}

#[test]
fn a_drop_goes_on_after_the_server_was_killed() {
    let directory = directory();
    let server = serve(&directory).up();
    let mut client = server.admin();
    for batch in 0..20 {
        let documents: serde_json::Map<_, _> = (0..1000).map(|n| (format!("{batch}-{n}"), json!(n))).collect();
        client.put("/entity/db", serde_json::Value::Object(documents).to_string()).expect(200);
    }
    client.delete(DB).expect(202);
    server.kill();
    let server = serve(&directory).up();
    let mut client = server.admin();
    gone(&mut client);
    assert_eq!(client.get("/api/databases").expect(200).json(), json!([]));
    client.put("/entity/db/0-0", "1").expect(201);
    assert_eq!(client.get("/api/databases/db/keys").expect(200).json()["items"].as_array().unwrap().len(), 1);
}
