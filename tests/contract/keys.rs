//! The keys of a database in order, and many documents at once.

use delta_tests::http::Client;
use serde_json::{Value, json};

use crate::support::{directory, problem, serve, server};

fn fill(client: &mut Client, keys: impl IntoIterator<Item = String>) {
    let documents: serde_json::Map<_, _> = keys.into_iter().map(|key| (key, json!(1))).collect();
    client.put("/entity/db", Value::Object(documents).to_string()).expect(200);
}

fn listed(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap()).collect()
}

#[test]
fn keys_come_in_order_and_page_by_page() {
    let (_directory, server) = server();
    let mut client = server.admin();
    fill(&mut client, (0..250).map(|n| format!("user:{n:03}")));
    fill(&mut client, ["a".into(), "z".into(), "ключ".into()]);
    let page = client.get("/api/databases/db/keys").expect(200).json();
    assert_eq!(listed(&page).len(), 100);
    assert_eq!(listed(&page)[..2], ["a", "user:000"]);
    let mut seen = Vec::new();
    let mut target = "/api/databases/db/keys?prefix=user:&limit=99".to_owned();
    loop {
        let answer = client.get(&target).expect(200);
        let page = answer.json();
        seen.extend(listed(&page).into_iter().map(str::to_owned));
        let Some(cursor) = page["next_cursor"].as_str() else {
            assert_eq!(answer.header("link"), None);
            break;
        };
        assert!(!cursor.contains("user"), "{cursor}");
        // The header leads where the cursor does.
        let link = answer.header("link").unwrap();
        let (address, relation) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
        assert_eq!(relation, "; rel=\"next\"");
        assert!(address.ends_with(&format!("cursor={cursor}")), "{link}");
        target = address.to_owned();
    }
    assert_eq!(seen, (0..250).map(|n| format!("user:{n:03}")).collect::<Vec<_>>());
    let none = client.get("/api/databases/none/keys").expect(200).json();
    assert_eq!(none, json!({"items": []}));
    for (bad, code) in [
        ("limit=0", "invalid_parameter"),
        ("limit=1001", "invalid_parameter"),
        ("limit=x", "invalid_parameter"),
        ("cursor=AAAA", "invalid_cursor"),
        ("cursor=%20", "invalid_cursor"),
    ] {
        problem(&client.get(&format!("/api/databases/db/keys?{bad}")), 400, code);
    }
}

#[test]
fn a_cursor_outlives_the_server_and_counts_only_where_it_was_given() {
    let directory = directory();
    let server = serve(&directory).up();
    fill(&mut server.admin(), (0..10).map(|n| format!("k{n}")));
    let page = server.admin().get("/api/databases/db/keys?limit=4").expect(200).json();
    let cursor = page["next_cursor"].as_str().unwrap().to_owned();
    server.kill();
    let server = serve(&directory).up();
    let mut client = server.admin();
    let page = client.get(&format!("/api/databases/db/keys?limit=4&cursor={cursor}")).expect(200).json();
    assert_eq!(listed(&page), ["k4", "k5", "k6", "k7"]);
    problem(&client.get(&format!("/api/databases/other/keys?cursor={cursor}")), 400, "invalid_cursor");
    problem(&client.get(&format!("/api/databases/db/keys?prefix=k&cursor={cursor}")), 400, "invalid_cursor");
}

#[test]
fn metadata_is_told_when_asked_for() {
    let (_directory, server) = server();
    let mut client = server.admin();
    client.put("/schema/checked", "{}").expect(200);
    client.put("/entity/db/a", "1").expect(201);
    let put = client.put("/entity/db/a?schema_id=checked", "2").expect(200);
    let page = client.get("/api/databases/db/keys?metadata=true").expect(200).json();
    let item = &page["items"][0];
    assert_eq!((&item["key"], &item["version"], &item["schema_id"]), (&json!("a"), &json!(2), &json!("checked")));
    assert_eq!((item["etag"].as_str(), &item["updated_at"]), (put.header("etag"), &put.json()["updated_at"]));
    let plain = client.get("/api/databases/db/keys").expect(200).json();
    let mut members: Vec<_> = plain["items"][0].as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["key", "size"]);
}

#[test]
fn many_documents_come_in_one_answer_and_missing_ones_are_marked() {
    let (_directory, server) = server();
    let mut client = server.admin();
    let put = client.put("/entity/db/a", " {\"n\": 1e400} ").expect(201);
    client.put("/entity/db/b", "\"x\"").expect(201);
    let answer = client.post("/api/databases/db/batch-get", r#"{"keys":["b","none","a"]}"#).expect(200);
    assert!(answer.text().contains("\"document\": {\"n\": 1e400} }"), "{answer:?}");
    let text = answer.text().replace("1e400", "1");
    let body: Value = serde_json::from_str(&text).unwrap();
    let items = body["items"].as_array().unwrap();
    assert_eq!((&items[0]["key"], &items[0]["document"]), (&json!("b"), &json!("x")));
    assert_eq!(items[1], json!({"key": "none", "found": false}));
    assert_eq!((items[2]["etag"].as_str(), &items[2]["version"]), (put.header("etag"), &json!(1)));
    assert_eq!(items[2]["updated_at"], put.json()["updated_at"]);
    for (bad, status, code) in [
        (json!({"keys": []}), 400, "bad_json"),
        (json!({"keys": ["a/b"]}), 400, "invalid_key"),
        (json!({"keys": "a"}), 400, "bad_json"),
        (json!({"keys": ["a"], "more": 1}), 400, "bad_json"),
        (json!({"keys": vec!["a"; 1001]}), 413, "too_large"),
    ] {
        problem(&client.post("/api/databases/db/batch-get", bad.to_string()), status, code);
    }
}

#[test]
fn an_answer_with_too_many_bytes_is_refused_before_it_is_made() {
    let (_directory, server) = server();
    let mut client = server.admin();
    client.put("/entity/db/large", format!("\"{}\"", "x".repeat(1_000_000))).expect(201);
    let many = json!({"keys": vec!["large"; 20]}).to_string();
    problem(&client.post("/api/databases/db/batch-get", many), 413, "too_large");
    client.post("/api/databases/db/batch-get", json!({"keys": vec!["large"; 10]}).to_string()).expect(200);
}
