//! Logging in: what a session is, and what ends it.

use std::time::{Duration, Instant};

use delta_tests::http::Response;
use delta_tests::server::Server;
use delta_tests::start::ADMIN_KEY;
use serde_json::json;

use crate::support::{dev, directory, problem, serve, server};

fn login(server: &Server) -> Response {
    server.anonymous().post("/api/login", json!({"key": ADMIN_KEY}).to_string())
}

fn token(server: &Server) -> String {
    login(server).expect(200).json()["token"].as_str().unwrap().to_owned()
}

#[test]
fn the_admin_key_is_exchanged_for_a_session() {
    let (_directory, server) = server();
    let body = login(&server).expect(200).json();
    assert_eq!(body["client_id"], json!("admin"));
    assert_eq!(body["permissions"], json!(["read", "write", "admin"]));
    let expires = body["expires_at"].as_str().unwrap();
    assert!(expires.len() >= 20 && expires.as_bytes()[10] == b'T' && expires.ends_with('Z'), "{expires}");
    assert_eq!(body.as_object().unwrap().len(), 4, "{body}");
    let me = json!({"client_id": "admin", "permissions": ["read", "write", "admin"], "is_admin": true, "scopes": []});
    for credential in [body["token"].as_str().unwrap(), ADMIN_KEY] {
        let mut client = server.anonymous().bearer(credential);
        assert_eq!(client.get("/api/me").expect(200).json(), me);
        client.get("/admin/workers").expect(200);
    }
    assert_ne!(token(&server), token(&server), "each login is a session of its own");
}

#[test]
fn a_wrong_login_is_refused_and_never_repeated() {
    let (_directory, server) = server();
    let mut client = server.anonymous();
    for key in ["", "wrong-key-of-somebody", "an-admin-key-of-the-test", "ds_e30.AA"] {
        let body = problem(&client.post("/api/login", json!({"key": key}).to_string()), 401, "unauthorized");
        assert!(key.is_empty() || !body.to_string().contains(key), "{body}");
    }
    problem(&client.post("/api/login", "{}"), 400, "missing_key");
    for bad in [
        "",
        "[]",
        "{\"key\":12345678901}",
        "{\"key\":[\"hush-hush\"]}",
        "{\"key\":\"a\",\"pin\":\"hush-hush\"}",
        "hush-hush",
    ] {
        let body = problem(&client.post("/api/login", bad), 400, "bad_json");
        assert!(!body.to_string().contains("hush") && !body.to_string().contains("12345678901"), "{body}");
    }
    // A client_id is a login only on a development server.
    problem(&client.post("/api/login", r#"{"client_id":"app"}"#), 401, "unauthorized");
}

#[test]
fn a_session_survives_a_restart_and_dies_with_the_admin_key() {
    let directory = directory();
    let server = serve(&directory).up();
    let token = token(&server);
    server.kill();
    let server = serve(&directory).up();
    server.anonymous().bearer(&token).get("/api/me").expect(200);
    server.stop();
    let server = serve(&directory).variable("ADMIN_KEY", "another-admin-key-entirely").up();
    problem(&server.anonymous().bearer(&token).get("/api/me"), 401, "unauthorized");
    server.stop();
    let server = serve(&directory).up();
    server.anonymous().bearer(&token).get("/api/me").expect(200);
}

#[test]
fn a_session_of_another_store_does_not_count() {
    let ((_one, first), (_two, second)) = (server(), server());
    let token = token(&first);
    problem(&second.anonymous().bearer(&token).get("/api/me"), 401, "unauthorized");
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(first.anonymous().bearer(&changed).get("/api/me").status, 401, "character {at}");
    }
}

#[test]
fn a_session_ends_when_it_says() {
    let directory = directory();
    let server = serve(&directory).arg("--client-ttl=2s").up();
    let mut client = server.anonymous().bearer(&token(&server));
    let (begun, mut answer) = (Instant::now(), client.get("/api/me").expect(200));
    while answer.status == 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never ended");
        answer = client.get("/api/me");
    }
    let body = problem(&answer, 401, "unauthorized");
    assert!(
        begun.elapsed() > Duration::from_millis(900) && body["detail"].as_str().unwrap().contains("expired"),
        "{body}"
    );
}

#[test]
fn a_client_id_is_a_login_only_on_a_development_server_without_an_admin_key() {
    let directory = directory();
    let ask = |server: &Server| server.anonymous().post("/api/login", r#"{"client_id":"app"}"#);
    let server = dev(&directory).up();
    let body = ask(&server).expect(200).json();
    assert_eq!((&body["client_id"], &body["permissions"]), (&json!("app"), &json!(["read", "write"])));
    let mut client = server.anonymous().bearer(body["token"].as_str().unwrap());
    let me = client.get("/api/me").expect(200).json();
    assert_eq!(me, json!({"client_id": "app", "permissions": ["read", "write"], "is_admin": false, "scopes": []}));
    for bad in ["\"\"", "\"a\\nb\"", "1", &format!("\"{}\"", "x".repeat(129))] {
        let answer = server.anonymous().post("/api/login", format!("{{\"client_id\":{bad}}}"));
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    server.kill();
    let server = dev(&directory).up();
    server.anonymous().bearer(body["token"].as_str().unwrap()).get("/api/me").expect(200);
    server.stop();
    let server = dev(&directory).variable("ADMIN_KEY", ADMIN_KEY).up();
    problem(&ask(&server), 401, "unauthorized");
    problem(&server.anonymous().bearer(body["token"].as_str().unwrap()).get("/api/me"), 401, "unauthorized");
    server.admin().get("/api/me").expect(200);
}
