//! `deltadb migrate`: the same store on another storage, or no store at all.

mod copies;
mod cut_short;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use delta_tests::server::Server;
use delta_tests::start::{ADMIN_KEY, Finished, MASTER_KEY, Start};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{PROGRAM, api_key, directory, serve};

/// A store of a test: which storage, and where.
#[derive(Clone)]
struct At {
    storage: &'static str,
    path: PathBuf,
}

impl At {
    fn new(directory: &TempDir, storage: &'static str, name: &str) -> Self {
        Self { storage, path: directory.path().join(name) }
    }

    /// As the command line has it.
    fn text(&self) -> String {
        format!("{}:{}", self.storage, self.path.display())
    }

    /// How a server is started on it.
    fn serve(&self, directory: &TempDir) -> Start {
        serve(directory).variable("DELTADB_STORAGE", self.storage).variable("DELTADB_STORAGE__PATH", &self.path)
    }

    /// How it is copied.
    fn migrate(&self, to: &Self) -> Start {
        let start = Start::bare(PROGRAM, &["migrate", "--from", &self.text(), "--to", &to.text()]);
        start.variable("MASTER_KEY", MASTER_KEY)
    }
}

/// The line of a migration that succeeded.
#[track_caller]
fn done(finished: &Finished) -> &str {
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    finished.stdout.trim_end()
}

/// The line of one that did not, with the test's directory as `DIR`.
#[track_caller]
fn failed(finished: &Finished, directory: &Path) -> String {
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
    finished.stderr.trim_end().replace(&directory.display().to_string(), "DIR")
}

/// Writes some of everything that a store can hold; gives the secret of an API key.
fn fill(server: &Server) -> String {
    let mut client = server.admin();
    client.put("/schema/chat.v1", "{\"type\":\"object\"}").expect(200);
    client.put("/schema/chat.v1", "{\"type\":[\"object\",\"number\"]}").expect(200);
    client.put("/api/databases/chat", json!({"schema_id": "chat.v1", "require_schema": true}).to_string()).expect(200);
    for at in 0..30 {
        client.put(&format!("/entity/chat/room-{at}"), json!({"at": at}).to_string()).expect(201);
        client.put("/entity/a_b", json!({format!("k ü_{at}{}", "x".repeat(at * 4)): at}).to_string()).expect(200);
    }
    for at in 0..10 {
        client.put(&format!("/entity/chat/room-{at}"), "{\"again\":true}").expect(200);
        client.delete(&format!("/entity/chat/room-{}", 20 + at)).expect(200);
    }
    let session = crate::support::login(server, ADMIN_KEY);
    server.anonymous().bearer(&session).post("/api/logout", "").expect(200);
    let scopes = json!([{"database": "chat", "actions": ["read"]}]);
    api_key(server, json!({"name": "ci", "permissions": ["read"], "scopes": scopes})).secret
}

/// Whether both are the same; the first difference fails the test.
#[track_caller]
fn same(now: &Seen, before: &Seen) {
    for (target, seen) in now {
        assert_eq!(Some(seen), before.get(target), "{target}");
    }
    assert_eq!(now.len(), before.len());
}

/// What a server answers, by what it was asked: status, ETag, and the body of a success.
type Seen = BTreeMap<String, (u16, String, String)>;

/// All that clients can see of the store that [`fill`] wrote: documents, versions, ETags, schemas, settings and keys.
fn seen(server: &Server, secret: &str) -> Seen {
    let fixed = ["/schema/chat.v1", "/admin/schemas", "/api/databases", "/api/databases/chat", "/api/keys"];
    let pages = ["chat", "a_b"].map(|database| format!("/api/databases/{database}/keys?metadata=true&limit=1000"));
    let rooms = (0..30).map(|at| format!("/entity/chat/room-{at}"));
    let targets = fixed.into_iter().map(String::from).chain(pages).chain(rooms);
    let mut client = server.admin();
    let mut look = |target: String| {
        let answer = client.get(&target);
        let etag = answer.header("etag").unwrap_or_default().to_owned();
        // A problem names its request.
        let body = if answer.status == 200 { answer.text() } else { "" };
        (target, (answer.status, etag, body.to_owned()))
    };
    let mut seen: Seen = targets.map(&mut look).collect();
    seen.insert("documents of a_b".into(), (200, String::new(), documents(server, "a_b")));
    let answer = server.anonymous().bearer(secret).get("/entity/chat/room-1");
    seen.insert("with the API key".into(), (answer.status, String::new(), answer.text().to_owned()));
    assert!(seen["with the API key"].0 == 200 && seen["/entity/chat/room-29"].0 == 404, "{seen:?}");
    seen
}

/// Every document of a database, one a line.
fn documents(server: &Server, database: &str) -> String {
    let start = Start::bare(PROGRAM, &["get", database, "--lines"]).variable("DELTADB_TOKEN", ADMIN_KEY);
    let finished = start.variable("DELTADB_URL", format!("http://{}", server.address())).run();
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    finished.stdout
}

/// A closed store of many small entities.
fn many(at: &At, directory: &TempDir, count: usize) {
    let server = at.serve(directory).up();
    for from in (0..count).step_by(500) {
        let part = from..count.min(from + 500);
        let map: BTreeMap<_, _> =
            part.map(|at| (format!("key-{at:05}"), json!({"at": at, "text": "x".repeat(300)}))).collect();
        server.admin().put("/entity/db", json!(map).to_string()).expect(200);
    }
    server.stop();
}

/// A directory with a store of everything, closed.
fn filled(storage: &'static str, names: &str) -> (TempDir, At, String, Seen) {
    let directory = directory();
    let from = At::new(&directory, storage, "first");
    let server = from.serve(&directory).arg("--names").arg(names).up();
    let secret = fill(&server);
    let seen = seen(&server, &secret);
    server.stop();
    (directory, from, secret, seen)
}
