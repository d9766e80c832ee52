//! Scopes: what a key may do depends on the database, and nothing else changes with it.

use serde_json::{Value, json};

use crate::support::{api_key, problem, server};

fn scoped(permissions: Value, scopes: Value) -> Value {
    json!({"name": "scoped", "permissions": permissions, "scopes": scopes})
}

#[test]
fn a_scope_names_a_database_or_the_beginning_of_some() {
    let (_directory, server) = server();
    let mut admin = server.admin();
    for database in ["chat", "chat.v1", "cha", "other", "notes"] {
        admin.put(&format!("/entity/{database}/k"), "1").expect(201);
    }
    let scopes = json!([
        {"database": "chat*", "actions": ["read"]},
        {"database": "notes", "actions": ["read", "write"]},
    ]);
    let key = api_key(&server, scoped(json!(["read", "write"]), scopes.clone()));
    for credential in [key.secret.clone(), key.login(&server)] {
        let mut client = server.anonymous().bearer(&credential);
        assert_eq!(client.get("/api/me").expect(200).json()["scopes"], scopes);
        for readable in ["chat", "chat.v1", "notes"] {
            assert_eq!(client.get(&format!("/entity/{readable}/k")).expect(200).text(), "1");
        }
        for other in ["cha", "other", "notes2", "absent"] {
            problem(&client.get(&format!("/entity/{other}/k")), 403, "forbidden");
        }
        client.put("/entity/notes/k", "2").expect(200);
        client.put("/entity/notes", r#"{"k":1}"#).expect(200);
        for other in ["chat", "cha", "notes2"] {
            problem(&client.put(&format!("/entity/{other}/k"), "2"), 403, "forbidden");
            problem(&client.put(&format!("/entity/{other}"), r#"{"k":2}"#), 403, "forbidden");
            problem(&client.delete(&format!("/entity/{other}?key=k")), 403, "forbidden");
        }
        assert_eq!(client.get("/api/databases").expect(200).json(), json!(["chat", "chat.v1", "notes"]));
    }
}

#[test]
fn a_scope_gives_nothing_that_the_permissions_do_not() {
    let (_directory, server) = server();
    let all = json!([{"database": "*", "actions": ["read", "write", "schema"]}]);
    let key = api_key(&server, scoped(json!(["read"]), all));
    let mut client = server.anonymous().bearer(&key.secret);
    problem(&client.put("/entity/db/k", "1"), 403, "forbidden");
    problem(&client.put("/schema/db", "{}"), 403, "forbidden");
    problem(&client.get("/entity/db/k"), 404, "not_found");
}

#[test]
fn schemas_are_written_without_scopes_or_with_the_action() {
    let (_directory, server) = server();
    let keys = [
        (json!([]), 200),
        (json!([{"database": "db", "actions": ["read", "write"]}]), 403),
        (json!([{"database": "*", "actions": ["write"]}]), 403),
        (json!([{"database": "other", "actions": ["schema"]}]), 200),
    ];
    for (scopes, status) in keys {
        let key = api_key(&server, scoped(json!(["read", "write"]), scopes));
        let mut client = server.anonymous().bearer(&key.secret);
        client.put("/schema/db", "{}").expect(status);
        server.admin().put("/schema/db", "{}").expect(200);
        client.delete("/schema/db").expect(status);
    }
}

#[test]
fn a_key_of_an_administrator_manages_keys_and_no_documents() {
    let (_directory, server) = server();
    let key = api_key(&server, json!({"name": "manager", "permissions": ["admin"]}));
    let mut client = server.anonymous().bearer(&key.secret);
    assert_eq!(client.get("/api/me").expect(200).json()["is_admin"], json!(true));
    client.get("/admin/workers").expect(200);
    let made = client.post("/api/keys", r#"{"name":"x","permissions":["read"]}"#).expect(201).json();
    client.delete(&format!("/api/keys/{}", made["id"].as_str().unwrap())).expect(200);
    for path in ["/entity/db/k", "/api/databases"] {
        problem(&client.get(path), 403, "forbidden");
    }
    // It can withdraw itself.
    client.delete(&format!("/api/keys/{}", key.id)).expect(200);
    problem(&client.get("/api/keys"), 401, "unauthorized");
}
