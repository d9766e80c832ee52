//! What clients are promised of one server holds of a main with workers: the tests of that, unchanged, and what only many
//! workers can get wrong.

use std::process::Command;

use delta_tests::http::Client;
use delta_tests::staffed;
use serde_json::{Value, json};

use super::Cluster;
use crate::support::{problem, skipped};

/// Keys that belong to different workers, as far as chance goes.
const KEYS: usize = 40;

/// Runs other tests of this binary over a main and two workers; `without` are those that are about something else.
#[track_caller]
fn hold(tests: &[&str], without: &[&str], at_least: u64) {
    if staffed::is_asked_for() {
        return skipped("all of this run is about clusters");
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    // What is a test of clusters already is not one twice, and this one would begin again for ever.
    command.args(tests).args(["--skip", "cluster::", "--test-threads", "2"]).env("DELTA_TESTS_CLUSTER", "2");
    without.iter().for_each(|test| _ = command.args(["--skip", test]));
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    let passed = said.split_once("test result: ok. ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
    assert!(passed.is_some_and(|passed| passed >= at_least), "{said}");
}

#[test]
fn what_rest_promises_holds_through_workers() {
    // A drop that the end of a process cuts short is the storage's to bear, and takes a minute; the suite of entities has
    // its own place here.
    hold(&["contract::", "access_table::e", "access_table::w"], &["a_drop_goes_on_after", "contract::suite"], 50);
}

#[test]
fn what_grpc_promises_holds_through_workers() {
    hold(&["grpc::operations", "grpc::errors", "grpc::process", "access_table::grpc"], &[], 20);
}

fn put(client: &mut Client, round: usize, document: &str) -> Vec<u16> {
    (0..KEYS).map(|key| client.put(&format!("/entity/db/{round}-{key}"), document).status).collect()
}

#[test]
fn a_schema_binds_every_worker_from_the_moment_it_is_answered() {
    let cluster = Cluster::of(3);
    let (mut admin, mut other) = (cluster.main.admin(), cluster.main.admin());
    for round in 0..10 {
        let (kind, good, bad) = [("integer", "1", "\"x\""), ("string", "\"x\"", "1")][round % 2];
        admin.put("/schema/db", format!("{{\"type\":\"{kind}\"}}")).expect(200);
        assert_eq!(put(&mut other, round, bad), [400; KEYS], "round {round}");
        assert_eq!(put(&mut other, round, good), [201; KEYS], "round {round}");
    }
    admin.delete("/schema/db").expect(200);
    assert_eq!(put(&mut other, 10, "{}"), [201; KEYS]);
}

#[test]
fn a_map_over_many_workers_is_checked_as_a_whole_before_any_of_it_is_written() {
    let cluster = Cluster::of(3);
    let mut client = cluster.main.admin();
    client.put("/schema/db", "{\"type\":\"integer\"}").expect(200);
    for bad in 0..KEYS {
        let document = |key| if key == bad { json!("x") } else { json!(key) };
        let map: serde_json::Map<_, _> = (0..KEYS).map(|key| (format!("k{key}"), document(key))).collect();
        let refused = problem(&client.put("/entity/db", Value::Object(map).to_string()), 400, "schema_violation");
        let pointer = refused["violations"][0]["pointer"].as_str().unwrap();
        assert_eq!(pointer, format!("/k{bad}"), "{refused}");
    }
    assert_eq!(client.get("/api/databases/db/keys").expect(200).json()["items"], json!([]));
    (0..KEYS).for_each(|key| _ = client.get(&format!("/entity/db/k{key}")).expect(404));
    let map: serde_json::Map<_, _> = (0..KEYS).map(|key| (format!("k{key}"), json!(key))).collect();
    client.put("/entity/db", Value::Object(map).to_string()).expect(200);
    (0..KEYS).for_each(|key| assert_eq!(client.get(&format!("/entity/db/k{key}")).expect(200).json(), json!(key)));
}
