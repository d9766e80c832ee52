//! Conditional requests (RFC 9110, section 13) on every verb.

use delta_tests::http::{Client, Request, Response};

use crate::support::{problem, server};

const K: &str = "/entity/db/k";

fn when(client: &mut Client, method: &str, header: (&str, &str), body: Option<&str>) -> Response {
    let request = Request::new(method, K).header(header.0, header.1);
    let request = match (method, body) {
        ("PATCH", Some(body)) => request.header("Content-Type", "application/merge-patch+json").body(body),
        (_, Some(body)) => request.body(body),
        _ => request,
    };
    client.send(&request)
}

fn tag(answer: &Response) -> String {
    answer.header("etag").unwrap().to_owned()
}

#[test]
fn a_read_sends_nothing_that_the_caller_has() {
    let (_directory, server) = server();
    let mut client = server.admin();
    let first = tag(&client.put(K, "1").expect(201));
    let second = tag(&client.put(K, "2").expect(200));
    for target in [K, "/entity/db?key=k"] {
        for (given, status) in [
            (&second, 304),
            (&format!("W/{second}"), 304),
            (&format!("{first} ,{second}"), 304),
            (&"*".to_owned(), 304),
            (&first, 200),
            (&"\"of another server\"".to_owned(), 200),
        ] {
            let answer = client.send(&Request::new("GET", target).header("If-None-Match", given));
            assert_eq!((answer.status, answer.header("etag")), (status, Some(second.as_str())), "{given}");
            assert_eq!(answer.body, if status == 304 { "" } else { "2" }.as_bytes());
        }
    }
    assert_eq!(when(&mut client, "HEAD", ("If-None-Match", &second), None).status, 304);
    assert_eq!(when(&mut client, "GET", ("If-Match", &second), None).expect(200).body, b"2");
    problem(&when(&mut client, "GET", ("If-Match", &first), None), 412, "precondition_failed");
    problem(&when(&mut client, "GET", ("If-None-Match", "unquoted"), None), 400, "invalid_etag");
    let read = client.get(K).expect(200);
    assert_eq!(read.header("cache-control"), Some("no-cache"));
}

#[test]
fn a_write_happens_only_if_its_condition_holds() {
    let (_directory, server) = server();
    let mut client = server.admin();
    problem(&when(&mut client, "PUT", ("If-Match", "*"), Some("0")), 412, "precondition_failed");
    problem(&when(&mut client, "DELETE", ("If-Match", "*"), None), 412, "precondition_failed");
    let first = tag(&when(&mut client, "PUT", ("If-None-Match", "*"), Some("1")).expect(201));
    problem(&when(&mut client, "PUT", ("If-None-Match", "*"), Some("2")), 412, "precondition_failed");
    let second = tag(&when(&mut client, "PUT", ("If-Match", &first), Some("{\"n\":2}")).expect(200));
    for (method, body) in [("PUT", Some("3")), ("PATCH", Some("{\"n\":3}")), ("DELETE", None)] {
        problem(&when(&mut client, method, ("If-Match", &first), body), 412, "precondition_failed");
        problem(&when(&mut client, method, ("If-Match", &format!("W/{second}")), body), 412, "precondition_failed");
        problem(&when(&mut client, method, ("If-None-Match", &second), body), 412, "precondition_failed");
        let date = ("If-Unmodified-Since", "Sat, 29 Oct 1994 19:43:31 GMT");
        problem(&when(&mut client, method, date, body), 400, "unsupported_precondition");
    }
    assert_eq!(client.get(K).expect(200).body, b"{\"n\":2}");
    let third = tag(&when(&mut client, "PATCH", ("If-Match", &second), Some("{\"n\":3}")).expect(200));
    let by_query = Request::new("DELETE", "/entity/db?key=k").header("If-Match", &second);
    problem(&client.send(&by_query), 412, "precondition_failed");
    when(&mut client, "DELETE", ("If-Match", &format!("{first}, {third}")), None).expect(200);
    problem(&client.get(K), 404, "not_found");
    client.delete(K).expect(200);
}

#[test]
fn a_condition_on_many_documents_is_refused_and_not_ignored() {
    let (_directory, server) = server();
    let request = Request::new("PUT", "/entity/db").header("If-Match", "*").body("{\"k\":1}");
    problem(&server.admin().send(&request), 400, "unsupported_precondition");
    problem(&server.admin().get(K), 404, "not_found");
}
