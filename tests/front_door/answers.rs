//! An answer that comes before the request is over reaches its client.

use std::io::Write;

use delta_tests::http::{Client, Request, connect};
use delta_tests::server::Server;
use delta_tests::start::ADMIN_KEY;

use crate::support::{problem, server};

use super::{read_to_end, statuses};

/// Twice the limit.
const LARGE: usize = 2 << 20;

/// Sends a head and then all of a body, and only then reads.
#[track_caller]
fn send_all(server: &Server, head: &str, body: &[u8]) -> String {
    let mut stream = connect(server.address()).unwrap();
    stream.write_all(format!("PUT /entity/db/k HTTP/1.1\r\nHost: a\r\n{head}\r\n").as_bytes()).unwrap();
    for piece in body.chunks(64 << 10) {
        stream.write_all(piece).unwrap();
    }
    read_to_end(&mut stream)
}

fn credential() -> String {
    format!("Authorization: Bearer {ADMIN_KEY}\r\n")
}

#[test]
fn a_client_that_sends_all_of_two_mebibytes_gets_its_413() {
    let (_directory, server) = server();
    // The sockets' buffers take two of them on some machines, but not eight.
    for bytes in [LARGE, 4 * LARGE] {
        let body = vec![b'7'; bytes];
        let chunked = [format!("{bytes:x}\r\n").as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        let by_length = format!("{}Content-Length: {bytes}\r\n", credential());
        let by_chunks = format!("{}Transfer-Encoding: chunked\r\n", credential());
        for (head, body) in [(by_length, &body), (by_chunks, &chunked)] {
            let answers = send_all(&server, &head, body);
            assert_eq!(statuses(&answers), [413], "{answers}");
            assert!(answers.contains("connection: close") && answers.contains("too_large"), "{answers}");
        }
    }
    let mut client = server.admin();
    problem(&client.put("/entity/db/k", vec![b'7'; LARGE]), 413, "too_large");
    client.get("/entity/db/k").expect(404);
}

#[test]
fn a_client_that_may_not_write_gets_its_401_however_much_it_sends() {
    let (_directory, server) = server();
    let answers = send_all(&server, &format!("Content-Length: {}\r\n", 4 * LARGE), &vec![b'7'; 4 * LARGE]);
    assert_eq!(statuses(&answers), [401], "{answers}");
}

#[test]
fn a_client_that_asks_first_sends_nothing_in_vain() {
    let (_directory, server) = server();
    let head = |length: usize| {
        let head = format!("PUT /entity/db/k HTTP/1.1\r\nHost: a\r\n{}", credential());
        format!("{head}Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n")
    };
    let refused = super::exchange(server.address(), head(LARGE).as_bytes());
    assert_eq!(statuses(&refused), [413], "{refused}");
    let mut stream = connect(server.address()).unwrap();
    stream.write_all(head(1).as_bytes()).unwrap();
    let mut first = [0; 25];
    std::io::Read::read_exact(&mut stream, &mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"7").unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let answers = read_to_end(&mut stream);
    assert_eq!(statuses(&answers), [201, 200], "{answers}");
}

#[test]
fn a_connection_is_kept_after_an_answer_unless_a_body_is_left() {
    let (_directory, server) = server();
    let mut client: Client = server.admin();
    for (request, close) in [
        (Request::new("PUT", "/entity/db/k").body("1"), None),
        (Request::new("GET", "/entity/db/none"), None),
        (Request::new("HEAD", "/entity/db/k"), None),
        (Request::new("PUT", "/entity/db/k").body("{"), None),
        (Request::new("PUT", "/entity/db/k").body("1").header("Content-Type", "text/html"), Some("close")),
    ] {
        assert_eq!(client.send(&request).header("connection"), close, "{request:?}");
    }
}
