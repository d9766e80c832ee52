//! The read of a whole entity, which does not go through the API's router when it is plainly written: it answers the same.

use delta_tests::http::{Client, Request, Response};

use crate::support::server;

const K: &str = "/entity/db/k";

/// What must be the same: everything but the date and what names the occurrence.
fn told(answer: &Response) -> (u16, Vec<(String, String)>, String) {
    let headers = answer.headers.iter().filter(|(name, _)| name != "date" && name != "content-length");
    let body = answer.text().split(',').filter(|part| !part.contains("\"instance\"")).collect::<Vec<_>>().join(",");
    (answer.status, headers.cloned().collect(), body)
}

/// Sends the same read plainly, and so that only the router takes it: with an empty query.
#[track_caller]
fn same(client: &mut Client, target: &str, headers: &[(&str, &str)], status: u16) {
    let mut send = |target: &str| {
        let request =
            headers.iter().fold(Request::new("GET", target), |request, (name, value)| request.header(name, value));
        client.send(&request).expect(status)
    };
    let (plain, routed) = (send(target), send(&format!("{target}?")));
    assert_eq!(told(&plain), told(&routed), "{target} {headers:?}");
}

#[test]
fn a_plain_read_is_answered_as_the_router_answers_it() {
    let (_directory, server) = server();
    let mut admin = server.admin();
    let tag = admin.put(K, r#"{"text": "ä", "n": 1e400}"#).expect(201).header("etag").unwrap().to_owned();
    for (target, status) in [
        (K, 200),
        ("/entity/db/none", 404),
        ("/entity/none/k", 404),
        ("/entity/.db/k", 400),
        ("/entity/db/a..b", 400),
        ("/entity/db/..", 400),
        (&format!("/entity/{}/k", "d".repeat(129)), 400),
        (&format!("/entity/db/{}", "k".repeat(513)), 400),
    ] {
        same(&mut admin, target, &[], status);
    }
    let other = "\"of another server\"";
    for (name, value, status) in [
        ("If-None-Match", tag.as_str(), 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", other, 200),
        ("If-None-Match", "unquoted", 400),
        ("If-Match", tag.as_str(), 200),
        ("If-Match", other, 412),
        ("Origin", "https://elsewhere.example", 200),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 200),
    ] {
        same(&mut admin, K, &[(name, value)], status);
    }
}

#[test]
fn a_plain_read_knows_its_caller_as_the_router_does() {
    let (_directory, server) = server();
    let mut admin = server.admin();
    admin.put(K, "1").expect(201);
    let scoped = r#"{"name": "a", "permissions": ["read"], "scopes": [{"database": "other", "actions": ["read"]}]}"#;
    let key = admin.post("/api/keys", scoped).expect(201).json()["secret"].as_str().unwrap().to_owned();
    same(&mut server.anonymous().bearer(&key), K, &[], 403);
    let mut stranger = server.anonymous();
    let right = "Bearer an-admin-key-of-the-tests";
    for (value, status) in [
        ("Bearer wrong", 401),
        ("Bearer ", 401),
        ("Bearer", 401),
        ("Bearer two words", 401),
        ("Basic YTpi", 401),
        ("", 401),
        (right, 200),
        (&right.replace("Bearer", "bearer"), 200),
    ] {
        same(&mut stranger, K, &[("Authorization", value)], status);
    }
    same(&mut stranger, K, &[], 401);
    same(&mut stranger, K, &[("Authorization", right), ("Authorization", "Bearer wrong")], 200);
    same(&mut stranger, K, &[("Authorization", "Bearer wrong"), ("Authorization", right)], 401);
}
