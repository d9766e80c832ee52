//! Who may do what, decided before a body is read; and which paths and methods there are at all.

use delta_tests::http::{Client, Request};
use serde_json::json;

use crate::support::{dev, directory, problem, server};

/// Every route that needs a credential.
const PROTECTED: [(&str, &str); 19] = [
    ("PUT", "/entity/db"),
    ("GET", "/entity/db?key=k"),
    ("DELETE", "/entity/db?key=k"),
    ("GET", "/entity/db/k"),
    ("HEAD", "/entity/db/k"),
    ("PUT", "/entity/db/k"),
    ("PATCH", "/entity/db/k"),
    ("DELETE", "/entity/db/k"),
    ("GET", "/api/databases/db"),
    ("PUT", "/api/databases/db"),
    ("DELETE", "/api/databases/db"),
    ("GET", "/api/databases/db/keys"),
    ("POST", "/api/databases/db/batch-get"),
    ("POST", "/schema/s/validate"),
    ("GET", "/api/databases"),
    ("GET", "/api/me"),
    ("GET", "/admin/workers"),
    ("PUT", "/schema/s"),
    ("DELETE", "/schema/s"),
];

#[test]
fn a_credential_is_asked_for_before_a_body_is_read() {
    let (_directory, server) = server();
    for (method, path) in PROTECTED {
        let answer = server.anonymous().send(&Request::new(method, path));
        if method == "HEAD" {
            assert_eq!(answer.status, 401);
            continue;
        }
        problem(&answer, 401, "unauthorized");
        if method == "PUT" {
            // Too large, of a type that is not read, and never sent: none of that is looked at.
            let head =
                Request::new(method, path).header("Content-Length", "99999999").header("Content-Type", "text/xml");
            problem(&server.anonymous().send(&head), 401, "unauthorized");
            let bad_name = format!("{path}%00..");
            problem(&server.anonymous().send(&Request::new(method, &bad_name).body("{")), 401, "unauthorized");
        }
    }
}

#[test]
fn a_credential_that_does_not_count_is_401_never_400() {
    let (_directory, server) = server();
    let long = "x".repeat(5_000);
    for credential in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic YTpi",
        "garbage",
        "Bearer a b",
        "Bearer ds_e30.AA",
        "Bearer dk_1_2",
        &long,
    ] {
        let request = Request::new("GET", "/api/me").header("Authorization", credential);
        let body = problem(&server.anonymous().send(&request), 401, "unauthorized");
        assert!(!body.to_string().contains("wrong\"") && !body.to_string().contains("ds_e30"), "{body}");
    }
    let raw = b"GET /api/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n";
    problem(&server.anonymous().raw(raw).unwrap(), 401, "unauthorized");
    // The scheme is not case-sensitive (RFC 9110, section 11.1).
    let request = Request::new("GET", "/api/me").header("Authorization", "bearer an-admin-key-of-the-tests");
    server.anonymous().send(&request).expect(200);
}

#[test]
fn what_a_permission_does_not_allow_is_403_before_the_body_is_read() {
    let directory = directory();
    let server = dev(&directory).up();
    let login = server.anonymous().post("/api/login", r#"{"client_id":"app"}"#).expect(200).json();
    let mut client = server.anonymous().bearer(login["token"].as_str().unwrap());
    problem(&client.get("/admin/workers"), 403, "forbidden");
    client.get("/api/databases").expect(200);
    client.put("/entity/db/k", "1").expect(201);
    client.put("/schema/s", "{}").expect(200);
}

#[test]
fn an_unknown_path_is_404_for_every_method() {
    let (_directory, server) = server();
    let paths = [
        "/nothing",
        "/entity",
        "/entity/",
        "/entity/a/b/c",
        "/schema",
        "/schema/a/b",
        "/api",
        "/admin",
        "/docs/x",
        "/index.html",
        "//",
    ];
    for mut client in [server.anonymous(), server.admin()] {
        for path in paths {
            for method in ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "PROPFIND"] {
                problem(&client.send(&Request::new(method, path)), 404, "not_found");
            }
            assert_eq!(client.send(&Request::new("HEAD", path)).status, 404);
        }
    }
}

#[test]
fn a_method_that_a_path_does_not_take_is_405_and_says_which_it_takes() {
    let (_directory, server) = server();
    let cases = [
        ("POST", "/entity/db", "DELETE, GET, HEAD, PUT"),
        ("POST", "/entity/db/k", "DELETE, GET, HEAD, PATCH, PUT"),
        ("POST", "/schema/s", "DELETE, GET, HEAD, PUT"),
        ("GET", "/api/login", "POST"),
        ("PUT", "/health", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("POST", "/docs", "GET, HEAD"),
        ("PUT", "/openapi.json", "GET, HEAD"),
    ];
    for (method, path, allowed) in cases {
        let answer = server.admin().send(&Request::new(method, path));
        problem(&answer, 405, "method_not_allowed");
        let mut allow: Vec<_> = answer.header("allow").unwrap_or_default().split(',').map(str::trim).collect();
        allow.sort_unstable();
        assert_eq!(allow.join(", "), allowed, "{method} {path}: {answer:?}");
    }
}

#[test]
fn no_page_of_another_origin_is_let_in() {
    let (_directory, server) = server();
    let request = Request::new("OPTIONS", "/entity/db/k")
        .header("Origin", "https://elsewhere.example")
        .header("Access-Control-Request-Method", "PUT");
    let preflight = server.anonymous().send(&request);
    assert_eq!(preflight.header("access-control-allow-origin"), None);
    let read = Request::new("GET", "/admin/schemas").header("Origin", "https://elsewhere.example");
    assert_eq!(server.anonymous().send(&read).header("access-control-allow-origin"), None);
}

#[test]
fn pages_of_an_origin_that_the_operator_names_are_let_in() {
    let directory = directory();
    let server =
        crate::support::serve(&directory).args(&["--cors-origin", "https://app.example,https://b.example"]).up();
    let from = |method: &str, origin: &str| Request::new(method, "/entity/db/k").header("Origin", origin);
    let asking = from("OPTIONS", "https://app.example").header("Access-Control-Request-Method", "PUT");
    let preflight = server.anonymous().send(&asking);
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, Some("https://app.example")));
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("PATCH"), "{preflight:?}");
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("if-match"), "{preflight:?}");
    let put = server.admin().send(&from("PUT", "https://b.example").body("1"));
    assert_eq!((put.status, put.header("access-control-allow-origin")), (201, Some("https://b.example")));
    assert!(put.header("access-control-expose-headers").unwrap().contains("etag"), "{put:?}");
    // A page's mistake is for the page to read, too.
    let refused = server.anonymous().send(&from("GET", "https://app.example"));
    assert_eq!((refused.status, refused.header("vary")), (401, Some("Origin")));
    for other in ["https://elsewhere.example", "https://app.example.elsewhere", "null"] {
        assert_eq!(server.admin().send(&from("GET", other)).header("access-control-allow-origin"), None, "{other}");
    }
}

#[test]
fn fifty_credential_checks_at_once_take_well_under_a_second() {
    let (_directory, server) = server();
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        for at in 0..50 {
            let address = server.address();
            scope.spawn(move || {
                let token = if at % 2 == 0 { "wrong" } else { delta_tests::start::ADMIN_KEY };
                let status = Client::new(address).bearer(token).get("/api/me").status;
                assert_eq!(status, if at % 2 == 0 { 401 } else { 200 });
            });
        }
    });
    assert!(begun.elapsed().as_millis() < 1_000, "{:?}", begun.elapsed());
    assert_eq!(server.admin().get("/api/me").json()["client_id"], json!("admin"));
}
