//! Pages for people: nothing on them comes from elsewhere, and what is ours carries no script.

use delta_tests::http::Response;

use crate::support::server;

/// One directive of the answer's content security policy.
fn policy<'a>(answer: &'a Response, directive: &str) -> Option<&'a str> {
    let policy = answer.header("content-security-policy").unwrap_or_default();
    policy.split(';').map(str::trim).find_map(|part| part.strip_prefix(directive).map(str::trim))
}

fn is_hardened(answer: &Response) {
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(policy(answer, "default-src"), Some("'none'"));
    assert_eq!(policy(answer, "frame-ancestors"), Some("'none'"));
}

#[test]
fn the_landing_page_has_no_script_and_allows_none() {
    let (_directory, server) = server();
    let answer = server.anonymous().get("/").expect(200);
    is_hardened(&answer);
    assert_eq!(policy(&answer, "script-src"), None, "{answer:?}");
    let page = answer.text().to_ascii_lowercase();
    assert!(page.contains("deltadatabase") && page.contains("href=\"docs\""), "{page}");
    for script in ["<script", "javascript:", " onclick", " onload", "src=\"http", "href=\"http"] {
        assert!(!page.contains(script), "{script}");
    }
}

#[test]
fn the_documentation_loads_nothing_from_elsewhere() {
    let (_directory, server) = server();
    let answer = server.anonymous().get("/docs").expect(200);
    is_hardened(&answer);
    assert_eq!(policy(&answer, "connect-src"), Some("'self'"));
    let policy = answer.header("content-security-policy").unwrap();
    assert!(!policy.contains("http") && !policy.contains('*'), "{policy}");
    assert!(answer.text().contains("SwaggerUIBundle"));
}

#[test]
fn the_openapi_document_is_json() {
    let (_directory, server) = server();
    let answer = server.anonymous().get("/openapi.json").expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.json()["openapi"].as_str().unwrap().starts_with("3."));
}
