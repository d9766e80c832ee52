//! The store as a whole: its databases, who serves it, and whether it can.

use delta_tests::staffed;
use serde_json::json;

use crate::support::{directory, problem, serve, server};

#[test]
fn databases_are_listed_in_order_from_storage_while_they_hold_something() {
    let directory = directory();
    let server = serve(&directory).up();
    let mut client = server.admin();
    assert_eq!(client.get("/api/databases").expect(200).json(), json!([]));
    for database in ["zoo", "Chat", "chat", "a.b"] {
        client.put(&format!("/entity/{database}/k"), "1").expect(201);
    }
    client.delete("/entity/zoo?key=k").expect(200);
    assert_eq!(client.get("/api/databases").expect(200).json(), json!(["Chat", "a.b", "chat"]));
    server.kill();
    // Nothing is in the cache of a new process.
    let server = serve(&directory).up();
    assert_eq!(server.admin().get("/api/databases").expect(200).json(), json!(["Chat", "a.b", "chat"]));
}

#[test]
fn serve_lists_itself_as_the_worker() {
    if staffed::is_asked_for() {
        let (_directory, server) = server();
        let workers = server.admin().get("/admin/workers").expect(200).json();
        // This is how a run over clusters knows that it is one.
        assert!(
            workers.as_array().is_some_and(|all| all.iter().all(|one| one["tags"]["role"] == "worker")),
            "{workers}"
        );
        return;
    }
    let directory = directory();
    let server = serve(&directory).args(&["--worker-id", "proc-1", "--key-id", "key-of-2026"]).up();
    let mut client = server.admin();
    client.put("/entity/db/k", "1").expect(201);
    client.get("/entity/db/k").expect(200);
    let workers = client.get("/admin/workers").expect(200).json();
    let [worker] = workers.as_array().unwrap().as_slice() else { panic!("{workers}") };
    assert_eq!((&worker["worker_id"], &worker["status"]), (&json!("proc-1"), &json!("Available")));
    assert_eq!(worker["key_id"], json!("key-of-2026"));
    assert!(worker["last_seen"].as_str().unwrap().ends_with('Z'), "{worker}");
    assert!(worker["tags"].is_object(), "{worker}");
    assert_eq!((&worker["cache"]["hits"], &worker["cache"]["entries"]), (&json!(1), &json!(1)), "{worker}");
}

#[test]
fn health_needs_no_credential() {
    let (_directory, server) = server();
    for path in ["/health", "/health/live"] {
        assert_eq!(server.anonymous().get(path).expect(200).json(), json!({"status": "ok"}));
    }
    assert_eq!(server.anonymous().get("/health/ready").expect(200).json(), json!({"status": "ok", "reasons": []}));
    problem(&server.anonymous().get("/health/other"), 404, "not_found");
}
