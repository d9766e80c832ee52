//! Logs hold no key material, no credential and no document, however much is logged.

use delta_tests::http::Request;
use delta_tests::server::Server;
use delta_tests::start::{ADMIN_KEY, MASTER_KEY};
use serde_json::json;

use crate::support::{dev, directory, serve};

const DOCUMENT: &str = "marker-of-a-document";
const WRONG_KEY: &str = "marker-of-a-wrong-credential";
const OTHER_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Good and bad requests of every kind; gives a session that was used.
fn exercise(server: &Server, credential: &str) -> String {
    let mut client = server.anonymous().bearer(credential);
    let login = client.post("/api/login", json!({"key": credential}).to_string());
    let session = login.json()["token"].as_str().unwrap_or("no-session-here").to_owned();
    client.post("/api/login", json!({"key": WRONG_KEY}).to_string()).expect(401);
    client.post("/api/login", format!("{{\"key\":[\"{WRONG_KEY}\"]}}")).expect(400);
    client.put("/schema/db", r#"{"type":"object","properties":{"n":{"const":1}}}"#).expect(200);
    client.put("/schema/bad", format!("{{\"type\":\"{DOCUMENT}\"}}")).expect(400);
    client.put("/entity/db/k", format!("{{\"n\":1,\"text\":\"{DOCUMENT}\"}}")).expect(201);
    client.put("/entity/db/k", format!("{{\"n\":\"{DOCUMENT}\"}}")).expect(400);
    client.put("/entity/db", format!("{{\"k\":{{\"text\":\"{DOCUMENT}\"}}}}")).expect(200);
    for bad in ["{\"text\":\"", "\"", "[1,"] {
        client.put("/entity/db/k", format!("{bad}{DOCUMENT}")).expect(400);
    }
    client.get("/entity/db/k").expect(200);
    client.get("/entity/db/absent").expect(404);
    client.delete("/entity/db?key=k").expect(200);
    let mut sessions = server.anonymous().bearer(&session);
    sessions.get("/api/me");
    server.anonymous().bearer(WRONG_KEY).get("/api/me").expect(401);
    let other = Request::new("GET", "/api/me").header("Authorization", &format!("Basic {WRONG_KEY}"));
    server.anonymous().send(&other).expect(401);
    let raw = format!(
        "PUT /entity/db/k HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {credential}\r\nBad Header {WRONG_KEY}\r\n\r\n"
    );
    drop(server.anonymous().raw(raw.as_bytes()));
    session
}

#[track_caller]
fn clean(printed: &str, secrets: &[&str]) {
    assert!(printed.contains("DEBUG"), "too little was logged to mean anything: {printed}");
    for secret in secrets {
        let line = printed.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

#[test]
fn everything_is_logged_but_secrets_and_documents() {
    for format in ["text", "json"] {
        let directory = directory();
        let start = serve(&directory).variable("RUST_LOG", "trace").arg("--log-format").arg(format);
        let start = start.arg("--previous-key").arg(format!("old={OTHER_KEY}"));
        let server = start.up();
        let session = exercise(&server, ADMIN_KEY);
        let claims = session.trim_start_matches("ds_").split('.').next().unwrap().to_owned();
        let first = server.stop().output;
        let raw: Vec<String> =
            (0..64).step_by(2).map(|at| u8::from_str_radix(&MASTER_KEY[at..at + 2], 16).unwrap().to_string()).collect();
        let start = start.arg("--previous-key").arg(format!("main-key-v1={MASTER_KEY}"));
        let server = start.variable("MASTER_KEY", OTHER_KEY).variable("ADMIN_KEY", "another-key-altogether").up();
        let second = server.stop().output;
        let secrets = [
            ADMIN_KEY,
            MASTER_KEY,
            OTHER_KEY,
            DOCUMENT,
            WRONG_KEY,
            &session,
            &claims,
            &raw.join(", "),
            "another-key-altogether",
        ];
        clean(&(first + &second), &secrets);
    }
}

#[test]
fn a_development_server_prints_no_key_where_nobody_looks() {
    let directory = directory();
    let server = dev(&directory).variable("RUST_LOG", "trace").up();
    let key = |file: &str| {
        let text = std::fs::read_to_string(crate::support::data(&directory).join(file)).unwrap();
        text.trim().rsplit('=').next().unwrap().to_owned()
    };
    let (master, admin) = (key("dev-master.key"), key("dev-admin.key"));
    assert_eq!((master.len(), admin.len()), (64, 48));
    exercise(&server, &admin);
    clean(&server.stop().output, &[&master, &admin, DOCUMENT, WRONG_KEY]);
}
