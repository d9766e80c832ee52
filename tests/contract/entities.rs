//! One entity: written, read and deleted, as a resource and by the query of the seeds' clients.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use delta_tests::http::{Request, Response};
use serde_json::json;

use crate::support::{directory, problem, serve, server};

/// `"<version>-<16 hex digits>"`, as in FORMAT.md.
fn is_tag(tag: &str, version: u64) -> bool {
    let inner = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.and_then(|inner| inner.strip_prefix(&format!("{version}-"))).is_some_and(|write| {
        write.len() == 16 && write.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
    })
}

fn tag(answer: &Response) -> String {
    answer.header("etag").unwrap_or_else(|| panic!("no ETag: {answer:?}")).to_owned()
}

#[test]
fn a_put_answers_created_or_replaced_with_version_and_tag() {
    let (_directory, server) = server();
    let mut client = server.admin();
    let mut tags = Vec::new();
    for version in 1..=3_u64 {
        let answer = client.put("/entity/db/k", format!("[{version}]")).expect(if version == 1 { 201 } else { 200 });
        let body = answer.json();
        assert_eq!((&body["status"], &body["version"]), (&json!("ok"), &json!(version)));
        assert!(body["updated_at"].as_str().unwrap().ends_with('Z'), "{body}");
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        assert!(is_tag(&tag(&answer), version), "{answer:?}");
        assert_eq!(tag(&client.get("/entity/db/k")), tag(&answer));
        tags.push(tag(&answer));
    }
    tags.dedup();
    assert_eq!(tags.len(), 3);
}

#[test]
fn a_get_answers_the_very_bytes_with_tag_and_date() {
    let (_directory, server) = server();
    let mut client = server.admin();
    let document = "\t{ \"b\" : 1.0, \"a\":[ ],\"n\":123456789012345678901234567890,\"u\":\"\\u00e4\" }\r\n";
    let put = client.put("/entity/db/user:1", document).expect(201);
    for target in ["/entity/db/user:1", "/entity/db/user%3A1", "/entity/db?key=user:1", "/entity/db?key=user%3A1"] {
        let answer = client.get(target).expect(200);
        assert_eq!(answer.body, document.as_bytes(), "{target}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
        assert_eq!(answer.header("etag"), put.header("etag"));
        let modified = answer.header("last-modified").unwrap();
        assert!(modified.len() == 29 && modified.ends_with(" GMT"), "{modified}");
    }
    let head = client.send(&Request::new("HEAD", "/entity/db/user:1"));
    assert_eq!((head.status, head.header("etag")), (200, put.header("etag")));
}

#[test]
fn a_document_is_any_json_value() {
    let (_directory, server) = server();
    let mut client = server.admin();
    for document in ["null", "true", "0", "-0.0e-0", "\"\"", "[]", "{}", " 1 ", "1e999"] {
        client.put("/entity/db/k", document);
        assert_eq!(client.get("/entity/db/k").expect(200).text(), document);
    }
}

#[test]
fn a_delete_succeeds_whether_or_not_there_was_something() {
    let (_directory, server) = server();
    let mut client = server.admin();
    let first = tag(&client.put("/entity/db/k", "1").expect(201));
    for _ in 0..2 {
        let answer = client.delete("/entity/db?key=k").expect(200);
        assert_eq!(answer.json(), json!({"status": "ok"}));
        problem(&client.get("/entity/db/k"), 404, "not_found");
        problem(&client.get("/entity/db?key=k"), 404, "not_found");
    }
    let again = tag(&client.put("/entity/db/k", "1").expect(201));
    assert_ne!(first, again, "equal tags must mean the same write");
}

#[test]
fn entities_of_the_same_key_in_two_databases_are_two() {
    let (_directory, server) = server();
    let mut client = server.admin();
    client.put("/entity/one/k", "1").expect(201);
    client.put("/entity/two/k", "2").expect(201);
    client.delete("/entity/one?key=k").expect(200);
    assert_eq!(client.get("/entity/two/k").expect(200).text(), "2");
}

#[test]
fn a_query_without_a_key_says_so() {
    let (_directory, server) = server();
    for method in ["GET", "DELETE"] {
        for target in ["/entity/db", "/entity/db?Key=k", "/entity/db?"] {
            problem(&server.admin().send(&Request::new(method, target)), 400, "missing_key");
        }
        problem(&server.admin().send(&Request::new(method, "/entity/db?key=")), 400, "invalid_key");
    }
}

#[test]
fn a_bad_database_name_is_400() {
    let (_directory, server) = server();
    let mut client = server.admin();
    for name in [".hidden", "a%20b", "a%2Fb", "%C3%A4", "a%00", "..", "a*", &"x".repeat(129)] {
        problem(&client.put(&format!("/entity/{name}/k"), "1"), 400, "invalid_database");
        problem(&client.put(&format!("/entity/{name}"), "{\"k\":1}"), 400, "invalid_database");
        problem(&client.get(&format!("/entity/{name}?key=k")), 400, "invalid_database");
    }
    for name in ["a", "A.b-c_9", "_auth", "a..b", &"x".repeat(128)] {
        client.put(&format!("/entity/{name}/k"), "1").expect(201);
    }
}

#[test]
fn a_write_that_cannot_be_done_now_is_503_with_retry_after() {
    let directory = directory();
    let config = directory.path().join("deltadb.toml");
    std::fs::write(&config, "[storage]\nwaiting_writes_max = 1\n").unwrap();
    let server = serve(&directory).arg("--config").arg(&config).up();
    // One write waits at most: of many clients some are turned away, and each refused write did not happen.
    let (until, enough) = (Instant::now() + Duration::from_secs(30), AtomicBool::new(false));
    let refused = thread::scope(|scope| {
        let clients = (0..16).map(|client| {
            let (mut admin, enough) = (server.admin(), &enough);
            scope.spawn(move || {
                let targets = (0..).map(|at| format!("/entity/db/{client}-{at}"));
                let targets = targets.take_while(|_| !enough.load(Ordering::Relaxed) && Instant::now() < until);
                let mut answers = targets.map(|target| (admin.put(&target, "1"), target));
                let refused = answers.find(|(answer, _)| answer.status != 201);
                enough.fetch_or(refused.is_some(), Ordering::Relaxed);
                refused
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().filter_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(!refused.is_empty(), "nobody was turned away");
    for (answer, target) in refused {
        problem(&answer, 503, "unavailable");
        assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{answer:?}");
        problem(&server.admin().get(&target), 404, "not_found");
    }
}
