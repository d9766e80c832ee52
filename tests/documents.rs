//! Bad input is refused with a clear error, changes nothing, and harms nobody else.

use delta_tests::http::{Client, Request};
use delta_tests::server::Server;
use delta_tests::start::ADMIN_KEY;

use crate::support::{problem, server};

/// What `/entity/db/k` holds before and after everything bad.
const KEPT: &str = "{\"kept\" : 1}";

/// A server that holds one document.
fn holding() -> (tempfile::TempDir, Server) {
    let (directory, server) = server();
    server.admin().put("/entity/db/k", KEPT).expect(201);
    (directory, server)
}

/// The server serves, nothing was changed, and nothing was added.
#[track_caller]
fn unharmed(server: &Server) {
    let mut client = server.admin();
    assert_eq!(client.get("/entity/db/k").expect(200).text(), KEPT);
    assert_eq!(client.get("/api/databases").expect(200).text(), "[\"db\"]");
    client.get("/health/ready").expect(200);
}

/// Refused as a document, and as a member of a map.
#[track_caller]
fn refuses(client: &mut Client, document: &[u8]) {
    problem(&client.put("/entity/db/k", document), 400, "bad_json");
    problem(&client.put("/entity/db", [b"{\"k\":", document, b"}"].concat()), 400, "bad_json");
}

#[test]
fn what_is_not_json_is_refused() {
    let (_directory, server) = holding();
    let mut client = server.admin();
    for bad in [
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "{'a':1}",
        "nul",
        "True",
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "0x10",
        "-",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"a\nb\"",
        "\"\u{1}\"",
        "\"\u{0}\"",
        "// c\n1",
        "1 // c",
        "\u{feff}1",
        "[1 2]",
        "\u{a0}1",
    ] {
        refuses(&mut client, bad.as_bytes());
    }
    unharmed(&server);
}

#[test]
fn bytes_after_the_document_are_refused() {
    let (_directory, server) = holding();
    let mut client = server.admin();
    for bad in ["1 1", "{} {}", "[]]", "null,", "{}\0", "1\0", "\"a\"b"] {
        refuses(&mut client, bad.as_bytes());
    }
    unharmed(&server);
}

#[test]
fn a_key_that_appears_twice_is_refused_at_every_depth_and_in_every_spelling() {
    let (_directory, server) = holding();
    let mut client = server.admin();
    for bad in
        ["{\"a\":1,\"a\":1}", "[{\"b\":{\"a\":1,\"c\":2,\"a\":3}}]", "{\"a\":1,\"\\u0061\":2}", "{\"\":1,\"\":2}"]
    {
        refuses(&mut client, bad.as_bytes());
    }
    let many: Vec<_> = (0..20_000).map(|at| format!("\"k{at}\":0")).collect();
    refuses(&mut client, format!("{{{},\"k7\":1}}", many.join(",")).as_bytes());
    // The same key in different objects is fine.
    client.put("/entity/db/k", "[{\"a\":1},{\"a\":{\"a\":1}}]").expect(200);
    client.put("/entity/db/k", KEPT).expect(200);
    unharmed(&server);
}

#[test]
fn invalid_utf8_and_lone_surrogates_are_refused() {
    let (_directory, server) = holding();
    let mut client = server.admin();
    for bad in [
        b"\"\xff\"".as_slice(),
        b"\"\xc3\"",
        b"\"\xc0\xaf\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf4\x90\x80\x80\"",
        b"\xff\xfe1\0",
        br#""\ud800""#,
        br#""\udc00""#,
        br#""\ud800\u0041""#,
        br#""\ud800x""#,
        br#"{"\udfff":1}"#,
    ] {
        refuses(&mut client, bad);
    }
    client.put("/entity/db/k", br#""\ud83d\ude00""#).expect(200);
    client.put("/entity/db/k", KEPT).expect(200);
    unharmed(&server);
}

#[test]
fn a_depth_bomb_is_refused_and_the_limit_is_exact() {
    let (_directory, server) = holding();
    let mut client = server.admin();
    let nested = |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        refuses(&mut client, nested(open, close, 129).as_bytes());
        refuses(&mut client, nested(open, close, 100_000).as_bytes());
        refuses(&mut client, open.repeat(150_000).as_bytes());
        let deepest = nested(open, close, 128);
        client.put("/entity/db/k", &deepest).expect(200);
        assert_eq!(client.get("/entity/db/k").text(), deepest);
        client.put("/entity/db", format!("{{\"k\":{deepest}}}")).expect(200);
    }
    problem(&client.put("/schema/s", nested("{\"not\":", "}", 129)), 400, "bad_json");
    client.put("/entity/db/k", KEPT).expect(200);
    unharmed(&server);
}

#[test]
fn numbers_of_any_size_are_kept_as_written() {
    let (_directory, server) = holding();
    let mut client = server.admin();
    let digits = "9".repeat(100_000);
    for number in [
        "1e999999",
        "-1E-999999",
        "0.1000000000000000055511151231257827",
        "9007199254740993",
        "-0",
        "1.0",
        "1E+2",
        "18446744073709551616",
        &digits,
    ] {
        client.put("/entity/db/k", number).expect(200);
        assert_eq!(client.get("/entity/db/k").expect(200).text(), number);
    }
    // A schema that must understand the number does not harm it either.
    client.put("/schema/db", "{\"type\":\"number\",\"minimum\":0}").expect(200);
    for number in ["1e999999", "18446744073709551617.0"] {
        client.put("/entity/db/k", number).expect(200);
        assert_eq!(client.get("/entity/db/k").expect(200).text(), number);
    }
    problem(&client.put("/entity/db/k", "-1e999999"), 400, "schema_violation");
}

#[test]
fn keys_that_could_be_paths_are_refused() {
    let (_directory, server) = holding();
    let mut client = server.admin();
    let long = "k".repeat(513);
    for key in
        ["a%2Fb", "%2F", "a%5Cb", "..", "a..b", "%2E%2E", "..%2Fetc", "a%00b", "a%0Ab", "a%7F", "a%C2%85b", &long]
    {
        for (method, target) in [
            ("PUT", format!("/entity/db/{key}")),
            ("GET", format!("/entity/db/{key}")),
            ("GET", format!("/entity/db?key={key}")),
            ("DELETE", format!("/entity/db?key={key}")),
        ] {
            let answer = client.send(&Request::new(method, &target).body("1"));
            problem(&answer, 400, "invalid_key");
        }
    }
    problem(&client.get("/entity/db?key=a/b"), 400, "invalid_key");
    problem(&client.get("/entity/db?key=a%252Fb"), 404, "not_found");
    for key in [".hidden", "a%20b", "%25", "a%3Fb", "%F0%9F%98%80", "_x", "-", &"k".repeat(512)] {
        client.put(&format!("/entity/keys/{key}"), "1").expect(201);
        client.get(&format!("/entity/keys?key={key}")).expect(200);
        client.delete(&format!("/entity/keys?key={key}")).expect(200);
    }
    unharmed(&server);
}

#[test]
fn a_target_that_is_not_utf8_is_400() {
    let (_directory, server) = holding();
    for target in ["/entity/db/%FF", "/entity/db/%C3", "/entity/db?key=%FF", "/entity/%FF/k", "/entity/db/%ED%A0%80"] {
        for method in ["GET", "PUT", "DELETE"] {
            let answer = server.admin().send(&Request::new(method, target).body("1"));
            let refused = answer.status == 400 || (answer.status == 405 && method == "DELETE");
            assert!(refused, "{method} {target}: {answer:?}");
        }
    }
    unharmed(&server);
}

#[test]
fn malformed_requests_are_refused_and_leave_no_half_write() {
    let (_directory, server) = holding();
    let head =
        |rest: &str| format!("PUT /entity/db/k HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n{rest}\r\n");
    for bad in [
        "GARBAGE\r\n\r\n".to_owned(),
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        head("Content-Length: x\r\n") + "1",
        head("Content-Length: -1\r\n") + "1",
        head("Content-Length: 1\r\nContent-Length: 2\r\n") + "12",
        head("Transfer-Encoding: chunked\r\n") + "zz\r\n1\r\n0\r\n\r\n",
        head("Bad Header: 1\r\nContent-Length: 1\r\n") + "1",
        head(&format!("X: {}\r\nContent-Length: 1\r\n", "x".repeat(600_000))) + "1",
    ] {
        // Either an answer that refuses, or a closed connection.
        if let Ok(answer) = server.anonymous().raw(bad.as_bytes()) {
            assert!((400..500).contains(&answer.status), "{bad:.60}: {answer:?}");
        }
        unharmed(&server);
    }
}

#[test]
fn a_body_that_ends_early_is_not_written() {
    let (_directory, server) = holding();
    for (length, sent) in [(100, "[1,2]"), (6, "[1,2]"), (1_000, "")] {
        let head = format!(
            "PUT /entity/db/k HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\nContent-Length: {length}\r\n\r\n{sent}"
        );
        let mut stream = delta_tests::http::connect(server.address()).unwrap();
        std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        drop(std::io::Read::read_to_string(&mut stream, &mut answer));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        unharmed(&server);
    }
    // A body that is longer than it says: the rest is no request, and no part of the document.
    let long = format!(
        "PUT /entity/db/l HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\nContent-Length: 1\r\n\r\n12345"
    );
    server.anonymous().raw(long.as_bytes()).unwrap().expect(201);
    assert_eq!(server.admin().get("/entity/db/l").expect(200).text(), "1");
    unharmed(&server);
}
