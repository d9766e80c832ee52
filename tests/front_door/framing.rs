//! Requests that two parties could understand differently are refused, or are the last of their connection.

use delta_tests::server::Server;
use serde_json::Value;

use crate::support::server;

use super::{exchange, statuses};

/// What a smuggler would like to be taken for a second request.
const SMUGGLED: &str = "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends a request with something smuggled behind it; it is refused as a problem, and nothing behind it is answered.
#[track_caller]
fn refused(server: &Server, request: &str, status: u16, code: &str) {
    let answers = exchange(server.address(), format!("{request}{SMUGGLED}").as_bytes());
    assert_eq!(statuses(&answers), [status], "{request:?}: {answers}");
    let (head, body) = answers.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    for line in ["connection: close", "content-type: application/problem+json"] {
        assert!(head.contains(line), "{request:?}: {answers}");
    }
    assert!(head.contains(&format!("content-length: {}", body.len())), "{request:?}: {answers}");
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!((problem["error"].as_str(), problem["status"].as_u64()), (Some(code), Some(status.into())));
}

#[test]
fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let (_directory, server) = server();
    for request in [
        "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\nab",
        "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
        "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\na",
        "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\na",
        "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\na",
        "GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "GET /health HTTP/1.1\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /health HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\na",
        "GET /health HTTP/1.1\r\nHost: a\r\n Content-Length: 1\r\n\r\na",
        "GET /health HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 1\r\n\r\na",
        "GET /health HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n",
        "GET  /health HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /health\tHTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /health HTTP/2.0\r\nHost: a\r\n\r\n",
        "G(T /health HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /he\x01alth HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        refused(&server, request, 400, "bad_request");
    }
}

#[test]
fn content_length_beside_chunks_is_the_last_request_of_its_connection() {
    let (_directory, server) = server();
    for request in [
        "PUT /entity/db/k HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
        "PUT /entity/db/k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX",
        "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let answers = exchange(server.address(), format!("{request}{SMUGGLED}").as_bytes());
        assert_eq!(statuses(&answers).len(), 1, "{request:?}: {answers}");
        assert!(answers.to_ascii_lowercase().contains("connection: close"), "{request:?}: {answers}");
    }
}

#[test]
fn a_broken_chunk_ends_its_connection() {
    let (_directory, server) = server();
    let head = format!(
        "PUT /entity/db/k HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        delta_tests::start::ADMIN_KEY
    );
    for chunks in
        ["1\r\n77\r\n0\r\n\r\n", "-1\r\n", "0x1\r\n7\r\n0\r\n\r\n", "1\n7\n0\n\n", "ffffffffffffffff1\r\n7", "\r\n"]
    {
        let answers = exchange(server.address(), format!("{head}{chunks}{SMUGGLED}").as_bytes());
        assert_eq!(statuses(&answers), [400], "{chunks:?}: {answers}");
        assert!(answers.to_ascii_lowercase().contains("connection: close"), "{chunks:?}: {answers}");
    }
    server.admin().get("/entity/db/k").expect(404);
}

#[test]
fn a_header_with_too_many_bytes_or_fields_is_431() {
    let (_directory, server) = server();
    let with = |fields: &str| format!("GET /health HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let field = |bytes: usize| format!("X: {}\r\n", "a".repeat(bytes));
    let fields = |count: usize| (0..count).map(|at| format!("X-{at}: a\r\n")).collect::<String>();
    for request in [with(&field(70_000)), with(&field(3_000_000)), with(&fields(100)), with(&fields(5_000))] {
        refused(&server, &request, 431, "header_too_large");
    }
    refused(&server, &format!("GET /health HTTP/1.1\r\nX: {}", "a".repeat(65_536)), 431, "header_too_large");
    let mut client = server.anonymous();
    for allowed in [with(&field(60_000)), with(&fields(99))] {
        assert_eq!(client.raw(allowed.as_bytes()).unwrap().status, 200);
    }
    client.get("/health").expect(200);
}

#[test]
fn an_address_that_is_too_long_is_414_or_431() {
    let (_directory, server) = server();
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(66_000));
    let answers = exchange(server.address(), long.as_bytes());
    assert!([414, 431].contains(&statuses(&answers)[0]), "{answers}");
    assert!(answers.contains("application/problem+json"), "{answers}");
}

#[test]
fn what_is_no_http_1_is_told_or_hung_up_on() {
    let (_directory, server) = server();
    for bytes in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"\0\0\0\0\0", b"hello\r\n\r\n", b"SSH-2.0-x\r\n"]
    {
        let answers = exchange(server.address(), bytes);
        assert_eq!(statuses(&answers), [400], "{answers}");
    }
    assert_eq!(exchange(server.address(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "");
}

/// RFC 9112, section 2.2, allows it; what counts is that it is a line's end everywhere.
#[test]
fn a_line_may_end_without_a_carriage_return() {
    let (_directory, server) = server();
    let requests = "GET /health HTTP/1.1\nHost: a\n\nGET /nothing HTTP/1.1\nHost: a\nConnection: close\n\n";
    assert_eq!(statuses(&exchange(server.address(), requests.as_bytes())), [200, 404]);
}

#[test]
fn requests_in_one_piece_are_answered_in_order() {
    let (_directory, server) = server();
    let get = |path: &str, rest: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{rest}\r\n");
    let all = [get("/health", ""), get("/nothing", ""), get("/health/ready", ""), get("/x", "Bad\r\n")].concat();
    let answers = exchange(server.address(), all.as_bytes());
    assert_eq!(statuses(&answers), [200, 404, 200, 400], "{answers}");
}
