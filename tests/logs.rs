//! Logs hold no key material, no credential and no document, however much is logged.
//!
//! The harness looks at everything that any server of the tests prints, at TRACE; here are the kinds that no other test
//! plants, and proof that the harness finds what it looks for.

use std::fs;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use delta_tests::cluster::{JOIN_TOKEN, Place, Worker};
use delta_tests::http::{Client, Request};
use delta_tests::leaks;
use delta_tests::server::{Ended, Server};
use delta_tests::start::{ADMIN_KEY, MASTER_KEY, Start};
use serde_json::json;

use crate::support::{PROGRAM, dev, directory, serve};

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
    let made = client.post("/api/keys", r#"{"name":"ci","permissions":["read"]}"#).expect(201).json();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let mut program = server.anonymous().bearer(secret);
    program.get("/api/me").expect(200);
    program.post("/api/login", json!({"key": secret}).to_string()).expect(200);
    client.delete(&format!("/api/keys/{id}")).expect(200);
    program.get("/api/me").expect(401);
    client.post("/api/keys", json!({"name": "ci", "permissions": [WRONG_KEY]}).to_string()).expect(400);
    let mut sessions = server.anonymous().bearer(&session);
    sessions.get("/api/me").expect(200);
    sessions.post("/api/logout", "").expect(200);
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
        let start = start.arg("--previous-key").arg(format!("old={OTHER_KEY}")).arg("--metrics-addr=127.0.0.1:0");
        let server = start.up();
        let session = exercise(&server, ADMIN_KEY);
        let metrics = Client::new(server.metrics_address()).get("/metrics").expect(200).text().to_owned();
        let line = fs::read_to_string(format!("/proc/{}/cmdline", server.id())).unwrap();
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
        for secret in secrets {
            // One key is an argument of this test's own; nothing else is ever put there.
            assert!(!metrics.contains(secret) && (secret == OTHER_KEY || !line.contains(secret)), "{secret}");
        }
        assert!(line.contains("--metrics-addr") && metrics.contains("deltadb_build_info"), "{line} {metrics}");
    }
}

#[test]
fn a_main_and_its_worker_print_no_secret_and_show_none() {
    let directory = directory();
    let place = Place::new(PROGRAM, directory.path());
    let main = place.main().args(&["--log-format=json", "--metrics-addr=127.0.0.1:0"]).up();
    let start = place.worker("w", main.grpc_address()).args(&["--log-format=json", "--metrics-addr=127.0.0.1:0"]);
    let worker = Worker::up(&start, &main);
    let session = exercise(&main, ADMIN_KEY);
    let page = |address| Client::new(address).get("/metrics").expect(200).text().to_owned();
    let line = |id| fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap();
    let shown = [page(main.metrics_address()), page(worker.metrics_address()), line(main.id()), line(worker.id())];
    let printed = main.stop().output + &worker.stop().output;
    assert!(printed.contains("a task was done"), "{printed}");
    let bytes = (0..64).step_by(2).map(|at| u8::from_str_radix(&MASTER_KEY[at..at + 2], 16).unwrap().to_string());
    let bytes = bytes.collect::<Vec<_>>().join(", ");
    let secrets = [ADMIN_KEY, MASTER_KEY, JOIN_TOKEN, DOCUMENT, WRONG_KEY, &session, &bytes];
    clean(&printed, &secrets);
    for secret in secrets {
        assert!(shown.iter().all(|text| !text.is_empty() && !text.contains(secret)), "{secret}: {shown:?}");
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

/// A program that is no server: it says where it listens, and this.
fn talkative(port: u16, line: &str) -> Start {
    let script = format!(
        "echo \"$0\" {line} >&2; echo REST: http://127.0.0.1:{port}; echo gRPC: http://127.0.0.1:{port}; exec sleep 60"
    );
    let start = Start::bare("sh", &[]).line("sh", &["-c", &script]);
    start.variable("ADMIN_KEY", "a-planted-admin-key").variable("MASTER_KEY", MASTER_KEY)
}

/// Whether the harness fails when such a program ends in this way.
fn fails(start: &Start, end: fn(Server) -> Option<Ended>) -> bool {
    let server = start.up();
    catch_unwind(AssertUnwindSafe(|| drop(end(server)))).is_err()
}

#[test]
fn a_server_that_prints_a_secret_fails_its_test_however_it_ends() {
    let ends: [fn(Server) -> Option<Ended>; 3] = [
        |server| Some(server.kill()),
        |server| Some(server.stop()),
        |server| {
            drop(server);
            None
        },
    ];
    for end in ends {
        assert!(!fails(&talkative(1, "nothing"), end));
        for line in ["a-planted-admin-key", "key=$MASTER_KEY,"] {
            assert!(fails(&talkative(1, line), end), "{line}");
        }
    }
    let start = talkative(1, "$1 another-planted-key").args(&["sh", "--previous-key", "old=another-planted-key"]);
    assert!(fails(&start, ends[0]));
}

#[test]
fn what_clients_saw_is_looked_for_in_what_their_server_prints() {
    let (session, key) =
        ("ds_eyJwYXJlbnQiOiJhZG1pbiJ9.c2lnbmF0dXJlLW9mLWEtc2Vzc2lvbg", "dk_a1b2c3d4_e5f6g7h2i3j4k5l6m7");
    let noted = |server: SocketAddr| {
        leaks::note_credential(server, session);
        leaks::note_credential(server, key);
        leaks::note_document(server, br#"{"text":"the-text-of-a-planted-document"}"#);
    };
    let lines =
        [session, "c2lnbmF0dXJlLW9mLWEtc2Vzc2lvbg", key, "e5f6g7h2i3j4k5l6m7", "the-text-of-a-planted-document"];
    for line in lines {
        noted(SocketAddr::from(([127, 0, 0, 1], 2)));
        assert!(fails(&talkative(2, line), |server| Some(server.kill())), "{line}");
        // What another server was told is not this one's.
        assert!(!fails(&talkative(3, line), |server| Some(server.kill())), "{line}");
    }
    // An id is no secret.
    noted(SocketAddr::from(([127, 0, 0, 1], 2)));
    assert!(!fails(&talkative(2, "dk_a1b2c3d4 a1b2c3d4"), |server| Some(server.kill())));
}
