//! Sessions: each is bound to the key it was issued for, and a logout ends it for good.

use delta_tests::server::Server;
use delta_tests::start::ADMIN_KEY;
use serde_json::json;

use crate::support::{api_key, dev, directory, login, problem, serve, server};

#[track_caller]
fn counts(server: &Server, credential: &str) {
    server.anonymous().bearer(credential).get("/api/me").expect(200);
}

#[track_caller]
fn refused(server: &Server, credential: &str) {
    problem(&server.anonymous().bearer(credential).get("/api/me"), 401, "unauthorized");
}

#[test]
fn a_session_of_a_key_is_the_key_and_survives_a_restart() {
    let directory = directory();
    let first = serve(&directory).up();
    let scopes = json!([{"database": "chat*", "actions": ["read"]}]);
    let key = api_key(&first, json!({"name": "app", "permissions": ["read"], "scopes": scopes, "expires_in": "1h"}));
    let body = first.anonymous().post("/api/login", json!({"key": key.secret}).to_string()).expect(200).json();
    assert_eq!((&body["client_id"], &body["permissions"]), (&json!("app"), &json!(["read"])));
    // It ends with the key, and not after the day that sessions last.
    let listed = first.admin().get("/api/keys").expect(200).json();
    assert_eq!(body["expires_at"].as_str().unwrap()[..19], listed[0]["expires_at"].as_str().unwrap()[..19]);
    let session = body["token"].as_str().unwrap();
    first.kill();
    for admin in [ADMIN_KEY, "another-admin-key-of-the-tests"] {
        let server = serve(&directory).variable("ADMIN_KEY", admin).up();
        let me = server.anonymous().bearer(session).get("/api/me").expect(200).json();
        let expected = json!({"client_id": "app", "permissions": ["read"], "is_admin": false, "scopes": scopes});
        assert_eq!(me, expected);
        server.stop();
    }
}

#[test]
fn a_session_of_the_admin_key_dies_when_it_changes() {
    let directory = directory();
    let first = serve(&directory).up();
    let session = login(&first, ADMIN_KEY);
    counts(&first, &session);
    first.stop();
    let server = serve(&directory).variable("ADMIN_KEY", "another-admin-key-of-the-tests").up();
    refused(&server, &session);
    refused(&server, ADMIN_KEY);
}

#[test]
fn a_logout_ends_that_session_at_once_and_for_good() {
    let directory = directory();
    let first = serve(&directory).up();
    let key = api_key(&first, json!({"name": "k", "permissions": ["read"]}));
    for credential in [ADMIN_KEY, &key.secret] {
        let (ended, other) = (login(&first, credential), login(&first, credential));
        let mut client = first.anonymous().bearer(&ended);
        assert_eq!(client.post("/api/logout", "").expect(200).json(), json!({"status": "ok"}));
        problem(&client.get("/api/me"), 401, "unauthorized");
        problem(&client.post("/api/logout", ""), 401, "unauthorized");
        counts(&first, &other);
        counts(&first, credential);
    }
    let (ended, other) = (login(&first, ADMIN_KEY), login(&first, ADMIN_KEY));
    first.anonymous().bearer(&ended).post("/api/logout", "").expect(200);
    first.kill();
    let server = serve(&directory).up();
    refused(&server, &ended);
    counts(&server, &other);
}

#[test]
fn only_a_session_can_be_logged_out() {
    let (_directory, server) = server();
    let key = api_key(&server, json!({"name": "k", "permissions": ["read"]}));
    for credential in [ADMIN_KEY, &key.secret] {
        problem(&server.anonymous().bearer(credential).post("/api/logout", ""), 400, "not_a_session");
        counts(&server, credential);
    }
    problem(&server.anonymous().post("/api/logout", ""), 401, "unauthorized");
}

#[test]
fn a_client_of_a_development_server_can_log_out_too() {
    let directory = directory();
    let server = dev(&directory).up();
    let body = server.anonymous().post("/api/login", r#"{"client_id":"app"}"#).expect(200).json();
    let session = body["token"].as_str().unwrap();
    server.anonymous().bearer(session).post("/api/logout", "").expect(200);
    refused(&server, session);
}
