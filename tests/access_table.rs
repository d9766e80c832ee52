//! Who may do what: every operation of the OpenAPI document with every kind of credential, by a table with one line for
//! each operation. An operation without a line fails, and so does a line without an operation.

pub(crate) mod grpc;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use delta_tests::http::Request;
use delta_tests::server::Server;
use delta_tests::start::ADMIN_KEY;
use serde_json::{Value, json};

use crate::support::{api_key, login, server};

use Access::{Admin, Any, Open, Read, ReadSomewhere, Schema, Write};

/// Who may use an operation.
#[derive(Debug, Clone, Copy)]
enum Access {
    /// Everybody, without a credential too.
    Open,
    /// Everybody, but a credential that is sent must count.
    OpenOrCounting,
    /// Whoever has a credential that counts.
    Any,
    /// Who may read the database `here`.
    Read,
    /// Who may read any database at all.
    ReadSomewhere,
    /// Who may write to the database `here`.
    Write,
    /// Who may write schemas.
    Schema,
    /// Administrators.
    Admin,
}

/// Operation, request on the database `here`, what it answers to those who may, and who may.
///
/// The request is a target, or a target, a space and a body. What it answers must be the same every time it is sent.
const TABLE: &[(&str, &str, u16, Access)] = &[
    ("get /health", "/health", 200, Open),
    ("get /health/live", "/health/live", 200, Open),
    ("get /health/ready", "/health/ready", 200, Open),
    ("post /api/login", "/api/login {}", 400, Open),
    ("get /admin/schemas", "/admin/schemas", 200, Open),
    ("get /schema/{id}", "/schema/some", 200, Open),
    ("get /api/me", "/api/me", 200, Any),
    // A key is no session.
    ("post /api/logout", "/api/logout", 400, Any),
    ("get /entity/{database}", "/entity/here?key=k", 200, Read),
    ("get /entity/{database}/{key}", "/entity/here/k", 200, Read),
    ("put /entity/{database}", "/entity/here {\"k\":1}", 200, Write),
    ("put /entity/{database}/{key}", "/entity/here/k 1", 200, Write),
    ("delete /entity/{database}", "/entity/here?key=absent", 200, Write),
    ("head /entity/{database}/{key}", "/entity/here/k", 200, Read),
    // A patch needs its type, which is asked for after the permission.
    ("patch /entity/{database}/{key}", "/entity/here/k {}", 415, Write),
    ("delete /entity/{database}/{key}", "/entity/here/absent", 200, Write),
    ("get /api/databases", "/api/databases", 200, ReadSomewhere),
    ("get /api/databases/{database}", "/api/databases/here", 200, Read),
    ("put /api/databases/{database}", "/api/databases/here {}", 200, Admin),
    ("delete /api/databases/{database}", "/api/databases/absent", 404, Admin),
    ("get /api/databases/{database}/keys", "/api/databases/here/keys", 200, Read),
    ("post /api/databases/{database}/batch-get", "/api/databases/here/batch-get {\"keys\":[\"k\"]}", 200, Read),
    ("post /schema/{id}/validate", "/schema/some/validate 1", 200, ReadSomewhere),
    ("put /schema/{id}", "/schema/some {}", 200, Schema),
    ("delete /schema/{id}", "/schema/absent", 404, Schema),
    ("get /admin/workers", "/admin/workers", 200, Admin),
    ("get /admin/stats", "/admin/stats", 200, Admin),
    ("get /api/keys", "/api/keys", 200, Admin),
    ("post /api/keys", "/api/keys {}", 400, Admin),
    ("delete /api/keys/{id}", "/api/keys/absent", 404, Admin),
];

/// The kinds of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Wrong,
    Expired,
    Read,
    Write,
    ScopedElsewhere,
    ScopedHere,
    Admin,
}

const KINDS: [Kind; 8] = [
    Kind::None,
    Kind::Wrong,
    Kind::Expired,
    Kind::Read,
    Kind::Write,
    Kind::ScopedElsewhere,
    Kind::ScopedHere,
    Kind::Admin,
];

/// What an operation answers to a kind of credential; `None` is whatever it answers to those who may use it.
fn refusal(access: Access, kind: Kind) -> Option<u16> {
    let may = match (access, kind) {
        (Open, _) | (Access::OpenOrCounting, Kind::None) => true,
        (_, Kind::None | Kind::Wrong | Kind::Expired) => return Some(401),
        (Any | Access::OpenOrCounting, _) | (_, Kind::Admin) => true,
        (Read, kind) => [Kind::Read, Kind::ScopedHere].contains(&kind),
        (ReadSomewhere, kind) => kind != Kind::Write,
        (Write, kind) => [Kind::Write, Kind::ScopedHere].contains(&kind),
        (Schema, kind) => kind == Kind::Write,
        (Admin, _) => false,
    };
    (!may).then_some(403)
}

/// A credential of each kind; the expired one has expired when this returns.
fn credentials(server: &Server) -> BTreeMap<usize, String> {
    let key = |wanted: Value| api_key(server, wanted).secret;
    let scope = |database: &str| json!([{"database": database, "actions": ["read", "write"]}]);
    let both = json!(["read", "write"]);
    let expired = key(json!({"name": "expired", "permissions": ["read", "write", "admin"], "expires_in": "1s"}));
    let begun = Instant::now();
    while server.anonymous().bearer(&expired).get("/api/me").status != 401 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the key did not expire");
    }
    let of = |kind: &Kind| match kind {
        Kind::None => None,
        Kind::Wrong => Some("dk_wrong_credential".to_owned()),
        Kind::Expired => Some(expired.clone()),
        Kind::Read => Some(key(json!({"name": "read", "permissions": ["read"]}))),
        Kind::Write => Some(key(json!({"name": "write", "permissions": ["write"]}))),
        Kind::ScopedElsewhere => Some(key(json!({"name": "else", "permissions": both, "scopes": scope("elsewhere*")}))),
        Kind::ScopedHere => Some(key(json!({"name": "here", "permissions": both, "scopes": scope("her*")}))),
        Kind::Admin => Some(ADMIN_KEY.to_owned()),
    };
    KINDS.iter().enumerate().filter_map(|(at, kind)| Some((at, of(kind)?))).collect()
}

fn prepare(server: &Server) {
    let mut admin = server.admin();
    admin.put("/entity/here/k", "1").expect(201);
    admin.put("/schema/some", "{}").expect(200);
}

fn send(server: &Server, operation: &str, request: &str, credential: Option<&String>) -> u16 {
    let method = operation.split(' ').next().unwrap().to_uppercase();
    let (target, body) = request.split_once(' ').map_or((request, None), |(target, body)| (target, Some(body)));
    let request = Request::new(&method, target);
    let request = body.map_or_else(|| request.clone(), |body| request.clone().body(body));
    let client = server.anonymous();
    credential.map_or_else(|| server.anonymous(), |credential| client.bearer(credential)).send(&request).status
}

#[test]
fn every_operation_has_a_line_and_every_line_an_operation() {
    let document: Value = serde_json::from_str(&delta_server::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let operations =
        paths.flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |at| format!("{at} {path}")));
    let operations: BTreeSet<String> = operations.collect();
    let lines: BTreeSet<String> = TABLE.iter().map(|(operation, ..)| (*operation).to_owned()).collect();
    assert_eq!(lines.len(), TABLE.len(), "an operation stands twice in TABLE");
    let missing: Vec<_> = operations.difference(&lines).collect();
    assert!(
        missing.is_empty(),
        "who may use {missing:?}? Add a line for each to TABLE in tests/access_table.rs, like: \
         (\"get /entity/{{database}}\", \"/entity/here?key=k\", 200, Read)"
    );
    let stale: Vec<_> = lines.difference(&operations).collect();
    assert!(stale.is_empty(), "there is no {stale:?} any more: remove the lines from TABLE in tests/access_table.rs");
}

#[test]
fn every_operation_serves_those_who_may_use_it_and_nobody_else() {
    let (_directory, server) = server();
    prepare(&server);
    let credentials = credentials(&server);
    let mut wrong = Vec::new();
    for (operation, request, status, access) in TABLE {
        for (at, kind) in KINDS.iter().enumerate() {
            let answered = send(&server, operation, request, credentials.get(&at));
            let expected = refusal(*access, *kind).unwrap_or(*status);
            if answered != expected {
                wrong.push(format!("{operation} with {kind:?}: {answered}, and not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_session_may_do_what_its_key_may() {
    let (_directory, server) = server();
    prepare(&server);
    let credentials = credentials(&server);
    let keys = KINDS.iter().enumerate().filter(|(_, kind)| refusal(Any, **kind).is_none());
    let mut wrong = Vec::new();
    for (at, kind) in keys {
        let session = login(&server, &credentials[&at]);
        for (operation, request, status, access) in TABLE.iter().filter(|line| line.0 != "post /api/logout") {
            let answered = send(&server, operation, request, Some(&session));
            let expected = refusal(*access, *kind).unwrap_or(*status);
            if answered != expected {
                wrong.push(format!("{operation} with a session of {kind:?}: {answered}, and not {expected}"));
            }
        }
        assert_eq!(send(&server, "post /api/logout", "/api/logout", Some(&session)), 200);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
