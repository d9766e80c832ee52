//! API keys over REST: made, listed, used, and withdrawn.

use std::fs;
use std::time::{Duration, Instant};

use delta_tests::http::Request;
use delta_tests::server::Server;
use delta_tests::start::MASTER_KEY;
use serde_json::{Value, json};

use crate::support::{api_key, data, directory, problem, serve, server};

fn members(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Waits until a credential does not count any more, and gives the detail of the refusal.
fn until_refused(server: &Server, credential: &str) -> String {
    let (begun, mut client) = (Instant::now(), server.anonymous().bearer(credential));
    loop {
        let answer = client.get("/api/me");
        if answer.status != 200 {
            return problem(&answer, 401, "unauthorized")["detail"].as_str().unwrap().to_owned();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it never ended");
    }
}

#[test]
fn a_key_is_made_shown_once_listed_and_used() {
    let (_directory, server) = server();
    let mut admin = server.admin();
    assert_eq!(admin.get("/api/keys").expect(200).json(), json!([]));
    let wanted = json!({"name": "ci-deploy", "permissions": ["write", "read", "read"], "expires_in": "7d"});
    let made = admin.post("/api/keys", wanted.to_string()).expect(201).json();
    assert_eq!(members(&made), ["created_at", "expires_at", "id", "name", "permissions", "scopes", "secret"]);
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with(&format!("dk_{}_", made["id"].as_str().unwrap())) && secret.len() >= 60);
    assert_eq!((&made["name"], &made["permissions"]), (&json!("ci-deploy"), &json!(["read", "write"])));

    let listed = admin.get("/api/keys").expect(200);
    let mut expected = made.clone();
    expected.as_object_mut().unwrap().remove("secret");
    assert_eq!(listed.json(), json!([expected]));
    let forever = api_key(&server, json!({"name": "forever", "permissions": ["read"]}));
    let listed = admin.get("/api/keys").expect(200);
    assert_eq!(members(&listed.json()[1]), ["created_at", "id", "name", "permissions", "scopes"]);
    for secret in [secret, &forever.secret] {
        assert!(!listed.text().contains(secret.rsplit('_').next().unwrap()));
    }

    let mut client = server.anonymous().bearer(secret);
    let me = client.get("/api/me").expect(200).json();
    let expected = json!({"client_id": "ci-deploy", "permissions": ["read", "write"], "is_admin": false, "scopes": []});
    assert_eq!(me, expected);
    client.put("/entity/db/k", "1").expect(201);
    client.put("/schema/s", "{}").expect(200);
    problem(&client.get("/api/keys"), 403, "forbidden");
}

#[test]
fn a_key_counts_after_a_crash_and_a_deleted_one_does_not_come_back() {
    let directory = directory();
    let first = serve(&directory).up();
    let kept = api_key(&first, json!({"name": "kept", "permissions": ["read"]}));
    let deleted = api_key(&first, json!({"name": "deleted", "permissions": ["read"]}));
    first.admin().delete(&format!("/api/keys/{}", deleted.id)).expect(200);
    first.kill();
    // The admin key may be another one.
    for admin in ["an-admin-key-of-the-tests", "another-admin-key-of-the-tests"] {
        let server = serve(&directory).variable("ADMIN_KEY", admin).up();
        server.anonymous().bearer(&kept.secret).get("/api/me").expect(200);
        problem(&server.anonymous().bearer(&deleted.secret).get("/api/me"), 401, "unauthorized");
        let listed = server.anonymous().bearer(admin).get("/api/keys").expect(200).json();
        assert_eq!((listed.as_array().unwrap().len(), &listed[0]["id"]), (1, &json!(kept.id)));
        server.kill();
    }
}

#[test]
fn a_key_and_its_sessions_outlast_the_master_key_they_were_made_under() {
    let directory = directory();
    let first = serve(&directory).up();
    let key = api_key(&first, json!({"name": "k", "permissions": ["read"]}));
    let (session, ended) = (key.login(&first), key.login(&first));
    first.anonymous().bearer(&ended).post("/api/logout", "").expect(200);
    first.stop();
    let previous = format!("main-key-v1={MASTER_KEY}");
    let server = serve(&directory).variable("MASTER_KEY", "ab".repeat(32)).args(&["--previous-key", &previous]).up();
    for credential in [&key.secret, &session, &key.login(&server)] {
        server.anonymous().bearer(credential).get("/api/me").expect(200);
    }
    problem(&server.anonymous().bearer(&ended).get("/api/me"), 401, "unauthorized");
    server.admin().delete(&format!("/api/keys/{}", key.id)).expect(200);
    problem(&server.anonymous().bearer(&session).get("/api/me"), 401, "unauthorized");
}

#[test]
fn a_deleted_key_and_its_sessions_stop_at_once() {
    let (_directory, server) = server();
    let key = api_key(&server, json!({"name": "k", "permissions": ["read", "write"]}));
    let session = key.login(&server);
    let mut clients = [&key.secret, &session].map(|credential| server.anonymous().bearer(credential));
    clients.iter_mut().for_each(|client| _ = client.get("/api/me").expect(200));
    let mut admin = server.admin();
    assert_eq!(admin.delete(&format!("/api/keys/{}", key.id)).expect(200).json(), json!({"status": "ok"}));
    for client in &mut clients {
        problem(&client.get("/api/me"), 401, "unauthorized");
        problem(&client.put("/entity/db/k", "1"), 401, "unauthorized");
    }
    problem(&server.anonymous().post("/api/login", json!({"key": key.secret}).to_string()), 401, "unauthorized");
    problem(&admin.delete(&format!("/api/keys/{}", key.id)), 404, "not_found");
    for id in ["nothing", "%2F", "a%20b", "..", &"x".repeat(600)] {
        problem(&admin.delete(&format!("/api/keys/{id}")), 404, "not_found");
    }
}

#[test]
fn an_expired_key_and_its_sessions_stop_at_once() {
    let (_directory, server) = server();
    let begun = Instant::now();
    let key = api_key(&server, json!({"name": "k", "permissions": ["read"], "expires_in": "2s"}));
    let session = key.login(&server);
    assert!(until_refused(&server, &key.secret).contains("expired"));
    problem(&server.anonymous().bearer(&session).get("/api/me"), 401, "unauthorized");
    assert!(begun.elapsed() >= Duration::from_millis(1_900), "{:?}", begun.elapsed());
    problem(&server.anonymous().post("/api/login", json!({"key": key.secret}).to_string()), 401, "unauthorized");
    // It is still there to be seen and deleted.
    let mut admin = server.admin();
    assert_eq!(admin.get("/api/keys").expect(200).json()[0]["id"], json!(key.id));
    admin.delete(&format!("/api/keys/{}", key.id)).expect(200);
}

#[test]
fn what_makes_no_key_is_refused_and_nothing_is_made() {
    let (_directory, server) = server();
    let mut admin = server.admin();
    let with = |field: &str, value: Value| {
        let mut wanted = json!({"name": "k", "permissions": ["read"]});
        wanted[field] = value;
        wanted
    };
    let scope = |database: &str, actions: Value| json!([{"database": database, "actions": actions}]);
    let mut refused = vec![with("scopes", scope("db", json!([])))];
    refused.extend([json!([]), json!(["root"]), json!(["Read"])].map(|value| with("permissions", value)));
    refused.extend(["0", "0s", "-1h", "24", "1y", "", "200000d"].map(|value| with("expires_in", json!(value))));
    refused.extend(["", "admin", "a\nb", &"n".repeat(129)].map(|value| with("name", json!(value))));
    refused.extend(["", "a/b", "*b", ".a"].map(|value| with("scopes", scope(value, json!(["read"])))));
    refused.extend([json!(["admin"]), json!(["delete"])].map(|value| with("scopes", scope("db", value))));
    refused.push(json!({"name": "k", "permissions": ["admin"], "scopes": scope("db", json!(["read"]))}));
    for wanted in refused {
        let body = problem(&admin.post("/api/keys", wanted.to_string()), 400, "invalid_api_key");
        assert!(body["detail"].as_str().unwrap().len() > 20, "{body}");
    }
    for bad in ["", "[]", "{}", r#"{"name":"k"}"#, r#"{"name":"k","permissions":["read"],"secret":"mine"}"#] {
        problem(&admin.post("/api/keys", bad), 400, "bad_json");
    }
    assert_eq!(admin.get("/api/keys").expect(200).json(), json!([]));
}

#[test]
fn every_changed_character_of_a_key_is_refused() {
    let (_directory, server) = server();
    let key = api_key(&server, json!({"name": "k", "permissions": ["read"]}));
    let mut client = server.anonymous();
    for at in 0..key.secret.len() {
        let mut changed = key.secret.clone().into_bytes();
        changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
        let bearer = format!("Bearer {}", String::from_utf8(changed).unwrap());
        let answer = client.send(&Request::new("GET", "/api/me").header("Authorization", &bearer));
        assert_eq!(answer.status, 401, "character {at}");
    }
    for other in
        [&key.secret[..key.secret.len() - 1], &format!("{}a", key.secret), &format!("dk_{}_", key.id), "dk_", "dk__"]
    {
        problem(&server.anonymous().bearer(other).get("/api/me"), 401, "unauthorized");
    }
}

#[test]
fn nothing_of_a_key_is_on_the_disk() {
    let directory = directory();
    let server = serve(&directory).up();
    let key = api_key(&server, json!({"name": "marker-of-a-key-name", "permissions": ["read"]}));
    server.stop();
    serve(&directory).up().kill();
    let (_, secret) = key.secret.rsplit_once('_').unwrap();
    let mut directories = vec![data(&directory)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                directories.push(entry);
                continue;
            }
            let text = String::from_utf8_lossy(&fs::read(&entry).unwrap()).into_owned();
            for needle in [secret, &key.id, "marker-of-a-key-name"] {
                assert!(!text.contains(needle), "{needle} is in {}", entry.display());
            }
        }
    }
}
