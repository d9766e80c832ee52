//! What becomes of clients when a worker is killed, stopped, paused or gone, or the main is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use delta_tests::cluster::{Worker, eventually};
use delta_tests::http::{Client, Request, Response};
use delta_tests::start::ADMIN_KEY;

use super::{Cluster, PATIENCE};
use crate::support::problem;

/// How many clients write at the same time, each to a key of its own.
const WRITERS: usize = 8;
/// How long a worker may be silent before its main does without it: two seconds, and what a busy machine adds.
const NOTICED_MAX: Duration = Duration::from_secs(5);
/// Within what time a main that a worker returns to serves again.
const RECOVERY_MAX: Duration = Duration::from_secs(2);

/// What happened to the writes of one client to one key.
#[derive(Debug, Default)]
struct History {
    /// The last number whose write was acknowledged.
    acknowledged: u64,
    /// Numbers whose write may have happened, or may still: one that was lost on its way has no end.
    unknown: Vec<u64>,
    /// Writes that were not begun.
    refused: usize,
    /// Connections that broke.
    broken: usize,
}

/// Writes 1, 2, 3, … to a key until it is told to stop; anything but success, a definite refusal or an unknown outcome is
/// a failure.
fn write_on(address: SocketAddr, key: &str, stop: &AtomicBool, done: &AtomicUsize) -> History {
    let mut client = Client::new(address).bearer(ADMIN_KEY);
    let mut history = History::default();
    for number in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match client.try_send(&Request::new("PUT", &format!("/entity/db/{key}")).body(number.to_string())) {
            Ok(answer) if [200, 201].contains(&answer.status) => {
                history.acknowledged = number;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{answer:?}");
                match answer.json()["error"].as_str() {
                    Some("outcome_unknown") => history.unknown.push(number),
                    Some("no_worker" | "busy" | "unavailable") => {
                        assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
                        history.refused += 1;
                    }
                    _ => panic!("{answer:?}"),
                }
            }
            // The main is gone: whether it had the write done, nobody knows.
            Err(_) => {
                history.unknown.push(number);
                history.broken += 1;
                client = Client::new(address).bearer(ADMIN_KEY);
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
    history
}

/// Runs a drill while clients write, and checks that nothing that was acknowledged is lost.
fn under_load(cluster: &mut Cluster, drill: impl FnOnce(&mut Cluster, &AtomicUsize)) -> Vec<History> {
    let (address, stop, done) = (cluster.main.address(), AtomicBool::new(false), AtomicUsize::new(0));
    let keys: Vec<_> = (0..WRITERS).map(|n| format!("key-{n}")).collect();
    let histories: Vec<History> = thread::scope(|scope| {
        let (stop, done) = (&stop, &done);
        let writers: Vec<_> = keys.iter().map(|key| scope.spawn(move || write_on(address, key, stop, done))).collect();
        wait_for(done, WRITERS * 5);
        drill(cluster, done);
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    for (key, history) in keys.iter().zip(&histories) {
        let mut found = None;
        // A worker may still be coming back.
        eventually("the key can be read", PATIENCE, || {
            let mut client = Client::new(cluster.main.address()).bearer(ADMIN_KEY);
            let answer = client.try_send(&Request::new("GET", &format!("/entity/db/{key}")));
            found = answer.ok().filter(|answer| answer.status == 200);
            found.is_some()
        });
        let found: u64 = found.unwrap().text().parse().unwrap();
        let fine = found == history.acknowledged || history.unknown.contains(&found);
        assert!(fine, "{key} is {found}: {history:?}");
    }
    histories
}

#[track_caller]
fn wait_for(done: &AtomicUsize, more: usize) {
    let wanted = done.load(Ordering::Relaxed) + more;
    eventually("writes go on", PATIENCE, || done.load(Ordering::Relaxed) >= wanted);
}

#[test]
fn a_worker_that_is_killed_mid_write_loses_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::of(3);
    let histories = under_load(&mut cluster, |cluster, done| {
        for round in 0..6 {
            let id = format!("w{}", round % 3 + 1);
            cluster.workers.remove(0).kill();
            // The others go on, and one of the same name is taken back.
            wait_for(done, WRITERS * 3);
            cluster.hire(&id);
        }
    });
    let unknown: usize = histories.iter().map(|history| history.unknown.len()).sum();
    println!("{histories:?}: {unknown} of unknown outcome at the end");
}

#[test]
fn a_worker_that_stops_in_order_fails_no_request() {
    let mut cluster = Cluster::of(2);
    let histories = under_load(&mut cluster, |cluster, done| {
        for round in 0..8 {
            let ended = cluster.workers.remove(0).stop();
            assert!(ended.status.success(), "{ended:?}");
            wait_for(done, WRITERS * 3);
            cluster.hire(&format!("w{}", round % 2 + 1));
            wait_for(done, WRITERS * 3);
        }
    });
    for history in histories {
        assert_eq!((history.refused, history.broken, history.unknown.len()), (0, 0, 0), "{history:?}");
    }
    assert_eq!(cluster.listed().len(), 2, "who leaves in order is not listed any more");
}

#[test]
fn with_no_worker_everything_is_503_until_one_comes() {
    let mut cluster = Cluster::of(1);
    cluster.main.admin().put("/entity/db/k", "1").expect(201);
    cluster.workers.pop().unwrap().kill();
    cluster.until_listed("w1", "Unresponsive");
    for answer in [
        cluster.main.admin().get("/entity/db/k"),
        cluster.main.admin().put("/entity/db/k", "2"),
        cluster.main.admin().delete("/entity/db/k"),
        cluster.main.admin().put("/entity/db", "{\"a\":1}"),
        cluster.main.admin().post("/api/databases/db/batch-get", "{\"keys\":[\"k\"]}"),
    ] {
        problem(&answer, 503, "no_worker");
        assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
    }
    let ready = cluster.main.anonymous().get("/health/ready").expect(503).json();
    assert!(ready["reasons"][0].as_str().unwrap().contains("worker"), "{ready}");
    // What a main does itself goes on.
    cluster.main.admin().get("/api/databases/db/keys").expect(200);
    cluster.main.admin().put("/schema/s", "{}").expect(200);
    cluster.hire("w1");
    let took = eventually("it is served again", RECOVERY_MAX, || get(&cluster, "k").status == 200);
    println!("served {took:?} after a worker came");
    cluster.main.anonymous().get("/health/ready").expect(200);
}

fn get(cluster: &Cluster, key: &str) -> Response {
    cluster.main.admin().get(&format!("/entity/db/{key}"))
}

#[test]
fn a_worker_that_stands_still_is_noticed_and_serves_nothing_stale_when_it_wakes() {
    let mut cluster = Cluster::of(2);
    let keys: Vec<_> = (0..20).map(|n| format!("key-{n}")).collect();
    let mut current: BTreeMap<&str, u64> = BTreeMap::new();
    for key in &keys {
        cluster.main.admin().put(&format!("/entity/db/{key}"), "1").expect(201);
        // Into the memory of whoever has it.
        get(&cluster, key).expect(200);
        current.insert(key, 1);
    }
    cluster.workers[0].pause();
    let paused = Instant::now();
    for key in &keys {
        // A read is asked again of another worker, without the client's doing.
        assert_eq!(get(&cluster, key).expect(200).text(), "1");
    }
    assert!(paused.elapsed() < NOTICED_MAX, "{:?}", paused.elapsed());
    cluster.until_listed("w1", "Unresponsive");
    for key in &keys {
        cluster.main.admin().put(&format!("/entity/db/{key}"), "2").expect(200);
        current.insert(key, 2);
    }
    cluster.workers[0].wake();
    cluster.until_listed("w1", "Available");
    // Alone now: what it has in memory is what clients could get.
    cluster.workers.remove(1).stop();
    for (key, number) in current {
        assert_eq!(get(&cluster, key).expect(200).text(), number.to_string(), "{key}");
    }
}

#[test]
fn writes_to_a_worker_that_stands_still_are_unknown_and_not_repeated() {
    let cluster = Cluster::of(1);
    cluster.main.admin().put("/entity/db/k", "1").expect(201);
    cluster.workers[0].pause();
    let began = Instant::now();
    let answer = cluster.main.admin().put("/entity/db/k", "2");
    problem(&answer, 503, "outcome_unknown");
    assert!(began.elapsed() < NOTICED_MAX, "{:?}", began.elapsed());
    cluster.workers[0].wake();
    cluster.until_listed("w1", "Available");
    // Whether it happened is for the client to find out: it did, or it did not, and once at most.
    let found = get(&cluster, "k").expect(200);
    let version = found.header("etag").unwrap().trim_matches('"').split('-').next().unwrap().to_owned();
    assert!([("1", "1"), ("2", "2")].contains(&(found.text(), version.as_str())), "{found:?}");
}

#[test]
fn a_main_that_is_killed_and_started_again_under_load_loses_nothing() {
    let mut cluster = Cluster::of(2);
    let (rest, grpc) = (cluster.main.address(), cluster.main.grpc_address());
    let histories = under_load(&mut cluster, |cluster, done| {
        for _ in 0..3 {
            let again = cluster.place.main();
            let again = again.variable("DELTADB_REST_ADDR", rest.to_string());
            let again = again.variable("DELTADB_GRPC_ADDR", grpc.to_string());
            cluster.main.crash();
            let began = Instant::now();
            cluster.main = again.up();
            let up = began.elapsed();
            let back = eventually("both workers are back", PATIENCE, || {
                cluster.listed().iter().filter(|(_, status)| status == "Available").count() == 2
            });
            println!("the main was up after {up:?}, and the workers back {back:?} later");
            wait_for(done, WRITERS * 3);
        }
    });
    assert!(histories.iter().any(|history| history.broken > 0), "it was killed when nothing was under way");
}

#[test]
fn a_schema_binds_every_worker_from_the_moment_it_is_put() {
    let cluster = Cluster::of(3);
    let keys: Vec<_> = (0..12).map(|n| format!("key-{n}")).collect();
    let put = |key: &str, document: &str| cluster.main.admin().put(&format!("/entity/db/{key}"), document).status;
    for key in &keys {
        assert_eq!(put(key, "{\"n\":1}"), 201);
    }
    for round in 0..4 {
        let (wanted, other) = if round % 2 == 0 { ("string", "integer") } else { ("integer", "string") };
        let schema = format!(r#"{{"type":"object","properties":{{"n":{{"type":"{wanted}"}}}}}}"#);
        cluster.main.admin().put("/schema/db", schema).expect(200);
        for key in &keys {
            let value = |kind: &str| if kind == "string" { "{\"n\":\"x\"}" } else { "{\"n\":1}" };
            assert_eq!((put(key, value(other)), put(key, value(wanted))), (400, 200), "{key} in round {round}");
        }
    }
    // A map is checked as a whole before any of it is written, whoever has the keys.
    let map: Vec<_> = keys.iter().map(|key| format!("\"{key}\":{{\"n\":7}}")).collect();
    let bad = format!("{{{},\"bad\":{{\"n\":\"x\"}}}}", map.join(","));
    let refused = problem(&cluster.main.admin().put("/entity/db", bad), 400, "schema_violation");
    assert_eq!(refused["violations"][0]["pointer"], "/bad/n");
    for key in &keys {
        assert_eq!(get(&cluster, key).expect(200).text(), "{\"n\":1}", "{key}");
    }
    cluster.main.admin().put("/entity/db", format!("{{{}}}", map.join(","))).expect(200);
    for key in &keys {
        assert_eq!(get(&cluster, key).expect(200).text(), "{\"n\":7}", "{key}");
    }
}

#[test]
fn workers_share_the_work_and_say_how_they_are() {
    let cluster = Cluster::of(3);
    for n in 0..60 {
        cluster.main.admin().put(&format!("/entity/db/key-{n}"), "1").expect(201);
    }
    let entries = || {
        let listed = cluster.main.admin().get("/admin/workers").expect(200).json();
        let each = listed.as_array().unwrap().iter();
        each.map(|worker| worker["cache"]["entries"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    eventually("every worker has a part of it, and all have all of it", PATIENCE, || {
        let entries = entries();
        entries.len() == 3 && entries.iter().all(|part| *part > 5) && entries.iter().sum::<u64>() == 60
    });
    let worker: &Worker = &cluster.workers[0];
    assert!(!worker.output().contains("panicked"));
}
