//! A main and its workers: each has a page, and what a request costs is on them.

use std::net::SocketAddr;

use delta_tests::cluster::{Place, Worker, eventually};
use delta_tests::server::Server;
use delta_tests::skins::grpc::channel;
use tempfile::TempDir;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::page::no_label_but_these;
use super::prometheus::Prometheus;
use super::{DEADLINE, becomes, becomes_at, page_at, samples, samples_at};
use crate::support::{PROGRAM, directory, has, skipped};

/// A main and one worker with metrics; what is dropped first comes first.
struct Pair {
    worker: Worker,
    main: Server,
    place: Place,
    _directory: TempDir,
}

impl Pair {
    fn new() -> Self {
        let directory = directory();
        let place = Place::new(PROGRAM, directory.path());
        let main = place.main().arg("--metrics-addr=127.0.0.1:0").up();
        let worker = hire(&place, "w1", &main);
        Self { worker, main, place, _directory: directory }
    }
}

fn hire(place: &Place, id: &str, main: &Server) -> Worker {
    Worker::up(&place.worker(id, main.grpc_address()).arg("--metrics-addr=127.0.0.1:0"), main)
}

fn work(kind: &str, outcome: &str) -> String {
    format!("deltadb_work_duration_seconds_count{{kind=\"{kind}\",outcome=\"{outcome}\"}}")
}

fn workers(status: &str) -> String {
    format!("deltadb_workers{{status=\"{status}\"}}")
}

#[test]
fn tasks_are_counted_at_both_ends_by_what_they_are_and_what_became_of_them() {
    let pair = Pair::new();
    let mut client = pair.main.admin();
    client.put("/entity/db/k", "{\"n\":1}").expect(201);
    client.get("/entity/db/k").expect(200);
    client.get("/entity/db/k").expect(200);
    client.get("/entity/db/absent").expect(404);
    client.put("/entity/db", "{\"a\":1,\"b\":2}").expect(200);
    client.delete("/entity/db/k").expect(200);
    for address in [pair.main.metrics_address(), pair.worker.metrics_address()] {
        let found = samples_at(address);
        for (kind, outcome, count) in [
            ("put", "ok", 1.0),
            ("get", "ok", 2.0),
            ("get", "not_found", 1.0),
            ("put_many", "ok", 1.0),
            ("delete", "ok", 1.0),
        ] {
            assert_eq!(found.get(&work(kind, outcome)), Some(&count), "{kind} {outcome} {found:#?}");
        }
        assert_eq!((found["deltadb_work_in_flight"], found["deltadb_work_unknown_outcomes_total"]), (0.0, 0.0));
        assert_eq!(found["deltadb_worker_streams"], 1.0);
        assert!(found.contains_key("deltadb_work_queued"), "{found:#?}");
        let page = page_at(address);
        no_label_but_these(&page);
        assert!(page.lines().count() < 900, "{}", page.lines().count());
    }
    let found = samples_at(pair.worker.metrics_address());
    assert!(found["deltadb_cache_hits_total"] >= 1.0 && found["deltadb_cache_entries"] >= 2.0, "{found:#?}");
    assert!(found["deltadb_seal_operations_total{operation=\"seal\"}"] >= 3.0, "{found:#?}");
    assert_eq!(found["deltadb_seal_failures_total{operation=\"open\"}"], 0.0);
    assert_eq!(found["deltadb_worker_streams_opened_total"], 1.0);
}

#[test]
fn a_cached_read_is_one_look_at_the_storage_and_a_write_one_more() {
    let pair = Pair::new();
    let mut client = pair.main.admin();
    client.put("/entity/db/k", "1").expect(201);
    client.get("/entity/db/k").expect(200);
    // The schema and the settings of a database are looked at once and kept for a while.
    let calls = |address: SocketAddr| {
        let found = samples_at(address);
        let counted = |call: &str| {
            let of = |outcome| {
                format!("deltadb_storage_call_duration_seconds_count{{call=\"{call}\",outcome=\"{outcome}\"}}")
            };
            ["ok", "conflict"].map(|outcome| found.get(&of(outcome)).copied().unwrap_or_default()).iter().sum::<f64>()
        };
        ["head", "get", "put", "delete", "write_batch", "list"].map(counted)
    };
    let during = |requests: &mut dyn FnMut()| {
        let before = calls(pair.worker.metrics_address());
        requests();
        let after = calls(pair.worker.metrics_address());
        std::array::from_fn::<_, 6, _>(|at| after[at] - before[at])
    };
    let [head, get, put, ..] = during(&mut || (0..10).for_each(|_| _ = client.get("/entity/db/k").expect(200)));
    assert_eq!((head, get, put), (10.0, 0.0, 0.0), "a cached read");
    let counted = during(&mut || (0..10).for_each(|n| _ = client.put("/entity/db/k", n.to_string()).expect(200)));
    assert_eq!(counted, [0.0, 0.0, 10.0, 0.0, 0.0, 0.0], "a write of what is cached");
    let new = |n| format!("/entity/db/new-{n}");
    let counted = during(&mut || (0..10).for_each(|n| _ = client.put(&new(n), "1").expect(201)));
    assert_eq!(counted, [10.0, 0.0, 10.0, 0.0, 0.0, 0.0], "a write of what is not");
}

#[test]
fn a_worker_that_is_lost_over_a_write_is_an_unknown_outcome() {
    let pair = Pair::new();
    let mut client = pair.main.admin();
    client.put("/entity/db/k", "1").expect(201);
    becomes(&pair.main, &workers("available"), 1.0);
    pair.worker.pause();
    client.put("/entity/db/k", "2").expect(503);
    becomes(&pair.main, &work("put", "lost"), 1.0);
    becomes(&pair.main, "deltadb_work_unknown_outcomes_total", 1.0);
    becomes(&pair.main, &workers("unresponsive"), 1.0);
    becomes(&pair.main, "deltadb_worker_streams", 0.0);
    pair.worker.wake();
    becomes(&pair.main, &workers("available"), 1.0);
    becomes_at(pair.worker.metrics_address(), "deltadb_worker_streams_opened_total", 2.0);
    assert_eq!(samples(&pair.main)[&workers("unresponsive")], 0.0);
}

#[test]
fn prometheus_reads_a_main_and_its_workers() {
    if !has("prometheus") {
        return skipped("there is no prometheus");
    }
    let Pair { worker, main, place, _directory } = Pair::new();
    let other = hire(&place, "w2", &main);
    let prometheus = Prometheus::scraping(&[main.metrics_address(), worker.metrics_address(), other.metrics_address()]);
    let mut client = main.admin();
    (0..20).for_each(|n| _ = client.put(&format!("/entity/db/k{n}"), "1").expect(201));
    prometheus.answers("count(up == 1)", "3");
    prometheus.answers("count by (role) (deltadb_build_info{role=\"worker\",storage=\"fs\"})", "2");
    prometheus.answers("count(deltadb_build_info{role=\"main\"})", "1");
    let done = "sum(deltadb_work_duration_seconds_count{kind=\"put\",outcome=\"ok\"} * on (instance) group_left";
    prometheus.answers(&format!("{done} deltadb_build_info{{role=\"worker\"}})"), "20");
    prometheus.answers(&format!("{done} deltadb_build_info{{role=\"main\"}})"), "20");
    prometheus.answers("deltadb_workers{status=\"available\"}", "2");
    other.kill();
    prometheus.answers("deltadb_workers{status=\"available\"}", "1");
    prometheus.answers("count(up == 0)", "1");
}

async fn health(address: SocketAddr) -> ServingStatus {
    let mut client = HealthClient::new(channel(address));
    client.check(HealthCheckRequest::default()).await.unwrap().into_inner().status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_a_main_says_that_it_does_not_serve() {
    let Pair { worker, main, place, _directory } = Pair::new();
    let address = worker.health_address();
    assert_eq!(health(address).await, ServingStatus::Serving);
    let until = std::time::Instant::now() + DEADLINE;
    let grpc = main.grpc_address();
    tokio::task::spawn_blocking(|| main.kill()).await.unwrap();
    while health(address).await != ServingStatus::NotServing {
        assert!(std::time::Instant::now() < until, "it serves nobody");
    }
    let main = place.main().variable("DELTADB_GRPC_ADDR", grpc.to_string()).up();
    while health(address).await != ServingStatus::Serving {
        assert!(std::time::Instant::now() < until, "it has a main");
    }
    eventually("the main lists it", DEADLINE, || main.admin().get("/health/ready").status == 200);
}
