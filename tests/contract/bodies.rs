//! Bodies: how large, of which type, and in which order that is judged.

use delta_tests::http::Request;
use delta_tests::start::ADMIN_KEY;

use crate::support::{problem, server};

/// The largest body where nothing else is configured.
const BODY_BYTES_MAX: usize = 1 << 20;

#[test]
fn a_body_is_read_as_json_whatever_clients_send_when_nobody_told_them() {
    let (_directory, server) = server();
    let mut client = server.admin();
    client.put("/entity/db/none", "1").expect(201);
    for (at, content_type) in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
    ]
    .iter()
    .enumerate()
    {
        let put = |path: &str, body: &str| Request::new("PUT", path).header("Content-Type", content_type).body(body);
        client.send(&put(&format!("/entity/db/k{at}"), "{\"a\":1}")).expect(201);
        client.send(&put("/entity/db", "{\"m\":1}")).expect(200);
        client.send(&put("/schema/s", "{}")).expect(200);
        let login = Request::new("POST", "/api/login").header("Content-Type", content_type);
        client.send(&login.body(format!("{{\"key\":\"{ADMIN_KEY}\"}}"))).expect(200);
    }
}

#[test]
fn another_type_is_415_and_changes_nothing() {
    let (_directory, server) = server();
    let mut client = server.admin();
    for content_type in
        ["text/html", "application/xml", "application/octet-stream", "multipart/form-data; boundary=x", "json", "*/*"]
    {
        for (method, path) in
            [("PUT", "/entity/db/k"), ("PUT", "/entity/db"), ("PUT", "/schema/s"), ("POST", "/api/login")]
        {
            let request = Request::new(method, path).header("Content-Type", content_type).body("{\"k\":1}");
            problem(&client.send(&request), 415, "unsupported_media_type");
        }
    }
    problem(&client.get("/entity/db/k"), 404, "not_found");
    problem(&client.get("/schema/s"), 404, "not_found");
}

#[test]
fn too_large_is_judged_before_the_type_and_without_reading() {
    let (_directory, server) = server();
    let too_large = (BODY_BYTES_MAX + 1).to_string();
    for path in ["/entity/db/k", "/entity/db", "/schema/s"] {
        let head = Request::new("PUT", path).header("Content-Type", "text/xml").header("Content-Length", &too_large);
        let body = problem(&server.admin().send(&head), 413, "too_large");
        assert!(body["detail"].as_str().unwrap().contains("1048576"), "{body}");
    }
    let login = Request::new("POST", "/api/login").header("Content-Length", &too_large);
    problem(&server.anonymous().send(&login), 413, "too_large");
}

#[test]
fn a_body_may_have_exactly_as_many_bytes_as_the_limit() {
    let (_directory, server) = server();
    let mut client = server.admin();
    let document = format!("\"{}\"", "x".repeat(BODY_BYTES_MAX - 2));
    client.put("/entity/db/k", &document).expect(201);
    assert_eq!(client.get("/entity/db/k").expect(200).body, document.as_bytes());
    problem(&client.put("/entity/db/k", format!("{document} ")), 413, "too_large");
    assert_eq!(server.admin().get("/entity/db/k").expect(200).body, document.as_bytes());
}

#[test]
fn a_body_in_chunks_is_stopped_where_it_passes_the_limit() {
    let (_directory, server) = server();
    let head = format!(
        "PUT /entity/db/k HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let chunk = format!("{:x}\r\n{}\r\n", BODY_BYTES_MAX / 2, "1".repeat(BODY_BYTES_MAX / 2));
    let small = format!("{head}3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n");
    server.anonymous().raw(small.as_bytes()).unwrap().expect(201);
    let large = format!("{head}{chunk}{chunk}1\r\n1\r\n");
    problem(&server.anonymous().raw(large.as_bytes()).unwrap(), 413, "too_large");
    assert_eq!(server.admin().get("/entity/db/k").expect(200).text(), "[1,2]");
}

#[test]
fn the_limit_is_the_operators() {
    let directory = crate::support::directory();
    let server = crate::support::serve(&directory).arg("--rest-max-body-size=64").up();
    let mut client = server.admin();
    client.put("/entity/db/k", format!("\"{}\"", "x".repeat(62))).expect(201);
    let body = problem(&client.put("/entity/db/k", format!("\"{}\"", "x".repeat(63))), 413, "too_large");
    assert!(body["detail"].as_str().unwrap().contains("rest_max_body_size"), "{body}");
}

#[test]
fn a_client_that_asks_first_is_refused_before_it_sends() {
    let (_directory, server) = server();
    for (credential, length, status) in [("wrong", 3, 401), (ADMIN_KEY, BODY_BYTES_MAX + 1, 413)] {
        let head = format!(
            "PUT /entity/db/k HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {credential}\r\nContent-Length: {length}\r\n\
             Expect: 100-continue\r\n\r\n"
        );
        assert_eq!(server.anonymous().raw(head.as_bytes()).unwrap().status, status);
    }
}
