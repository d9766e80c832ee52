//! Two mains over one store, each with workers of its own, or with the same.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use delta_tests::cluster::{Place, Worker, eventually};
use delta_tests::server::Server;
use delta_tests::start::ADMIN_KEY;
use serde_json::json;
use tempfile::TempDir;

use super::link::line;
use super::{Cluster, PATIENCE};
use crate::support::{ApiKey, PROGRAM, api_key, directory, login, problem};

/// Within what time a credential that one main withdraws is of no use at the others.
const WITHDRAWN_WITHIN: Duration = Duration::from_secs(1);

/// Another main over the store of a cluster that shares it, and its worker; what is dropped first comes first.
fn another(cluster: &Cluster) -> (Worker, Server) {
    let data = cluster.place.store().with_extension("second");
    let main = cluster.place.main().arg("--multi-main").variable("DELTADB_DATA_DIR", data).up();
    (Worker::up(&cluster.place.worker("of-the-second", main.grpc_address()), &main), main)
}

#[test]
fn a_key_and_a_session_that_end_at_one_main_are_dead_at_the_other_within_a_second() {
    let cluster = Cluster::with(1, &["--multi-main"]);
    let (_worker, other) = another(&cluster);
    for [here, there] in [[&cluster.main, &other], [&other, &cluster.main]] {
        let ApiKey { id, secret } = api_key(here, json!({"name": "k", "permissions": ["read", "write"]}));
        let (ended, kept) = (login(here, &secret), login(here, &secret));
        // A new key may need its second, too.
        thread::sleep(WITHDRAWN_WITHIN);
        let mut clients = [&secret, &ended, &kept].map(|token| there.anonymous().bearer(token));
        clients.iter_mut().for_each(|client| assert!(client.put("/entity/db/k", "1").status < 300));
        let [by_key, by_ended, by_kept] = &mut clients;

        here.anonymous().bearer(&ended).post("/api/logout", "").expect(200);
        // Not a wait for something: the promise is about what is later than that.
        thread::sleep(WITHDRAWN_WITHIN);
        problem(&by_ended.get("/entity/db/k"), 401, "unauthorized");
        by_kept.get("/entity/db/k").expect(200);
        by_key.get("/entity/db/k").expect(200);

        here.admin().delete(&format!("/api/keys/{id}")).expect(200);
        thread::sleep(WITHDRAWN_WITHIN);
        problem(&by_key.get("/entity/db/k"), 401, "unauthorized");
        problem(&by_kept.get("/entity/db/k"), 401, "unauthorized");
    }
}

/// Two mains, and three workers that dial both of them; what is dropped first comes first.
struct Both {
    workers: Vec<Worker>,
    mains: [Server; 2],
    place: Place,
    _directory: TempDir,
}

impl Both {
    fn new() -> Self {
        let directory = directory();
        let place = Place::new(PROGRAM, directory.path());
        let main =
            |name: &str| place.main().arg("--multi-main").variable("DELTADB_DATA_DIR", directory.path().join(name));
        let mains = [main("a").up(), main("b").up()];
        let mut both = Self { workers: Vec::new(), mains, place, _directory: directory };
        (1..=3).for_each(|n| both.hire(&format!("w{n}")));
        both
    }

    /// Where both listen for workers.
    fn addresses(&self) -> String {
        self.mains.each_ref().map(|main| main.grpc_address().to_string()).join(",")
    }

    fn hire(&mut self, id: &str) {
        let start = self.place.worker_without_token(id, &self.addresses());
        let start = start.arg("--join-token-file").arg(self.place.token());
        self.workers.push(Worker::up(&start, &self.mains[0]));
        self.until_listed(&[id]);
    }

    /// Waits until each main has these workers.
    fn until_listed(&self, wanted: &[&str]) {
        for main in &self.mains {
            eventually("each main has them", PATIENCE, || {
                let listed = main.admin().get("/admin/workers").expect(200).json();
                let is_there = |id: &&str| {
                    listed
                        .as_array()
                        .unwrap()
                        .iter()
                        .any(|worker| worker["worker_id"] == **id && worker["status"] == "Available")
                };
                wanted.iter().all(is_there)
            });
        }
    }
}

#[test]
fn a_worker_of_two_mains_serves_both_and_outlives_either() {
    let mut both = Both::new();
    for round in 0..20 {
        let (key, [here, there]) =
            (format!("/entity/db/k{}", round % 5), [round % 2, (round + 1) % 2].map(|at| &both.mains[at]));
        let status = here.admin().put(&key, round.to_string()).status;
        assert!([200, 201].contains(&status), "{status}");
        assert_eq!(there.admin().get(&key).expect(200).text(), round.to_string());
    }
    let addresses = [both.mains[0].address(), both.mains[0].grpc_address()];
    both.mains[0].crash();
    // One that begins meanwhile serves the other main.
    let start = both.place.worker_without_token("w4", &both.addresses());
    let late = Worker::up(&start.arg("--join-token-file").arg(both.place.token()), &both.mains[1]);
    assert_eq!(both.mains[1].admin().get("/entity/db/k1").expect(200).text(), "16");
    let again =
        both.place.main().arg("--multi-main").variable("DELTADB_DATA_DIR", both.place.store().with_extension("a"));
    let again = again.variable("DELTADB_REST_ADDR", addresses[0].to_string());
    both.mains[0] = again.variable("DELTADB_GRPC_ADDR", addresses[1].to_string()).up();
    both.until_listed(&["w1", "w2", "w3", "w4"]);
    both.mains[0].admin().put("/entity/db/k1", "21").expect(200);
    assert_eq!(both.mains[1].admin().get("/entity/db/k1").expect(200).text(), "21");
    // One that is told to stop leaves both in order.
    assert!(late.stop().status.success());
    for main in &both.mains {
        let listed = main.admin().get("/admin/workers").expect(200).json();
        assert!(!listed.to_string().contains("w4"), "{listed}");
    }
}

#[test]
fn a_worker_refuses_a_main_of_another_store_and_serves_the_other() {
    let mut both = Both::new();
    let other = directory();
    let stranger = Place::new(PROGRAM, other.path()).main().up();
    let addresses = format!("{},{}", stranger.grpc_address(), both.mains[0].grpc_address());
    let start = both.place.worker_without_token("w4", &addresses).arg("--join-token-file").arg(both.place.token());
    let worker = Worker::up(&start, &both.mains[0]);
    eventually("it says so", PATIENCE, || worker.output().contains("has another store than this worker"));
    both.workers.clear();
    both.mains[0].admin().put("/entity/db/k", "1").expect(201);
    problem(&stranger.admin().put("/entity/db/k", "2"), 503, "no_worker");
    let twice = both.place.worker_without_token("w5", "127.0.0.1:1, 127.0.0.1:1");
    let twice = line(&twice.arg("--join-token-file").arg(both.place.token()));
    assert!(twice.contains("names 127.0.0.1:1 twice"), "{twice}");
    let hopeless = format!("{},{}", stranger.grpc_address(), "192.0.2.1:50051");
    let hopeless = both.place.worker_without_token("w5", &hopeless).arg("--join-token-file").arg(both.place.token());
    assert!(line(&hopeless).contains("--insecure-cluster"), "{}", line(&hopeless));
}

#[test]
fn a_master_key_that_one_main_puts_to_use_is_known_to_the_other_and_to_all_workers() {
    let directory = directory();
    let place = Place::new(PROGRAM, directory.path());
    let (old, new) = (directory.path().join("master.key"), directory.path().join("new.key"));
    let main = |name: &str, file: &Path| {
        let start = place.main().arg("--multi-main").variable("DELTADB_DATA_DIR", directory.path().join(name));
        start.without("MASTER_KEY").arg("--master-key-file").arg(file)
    };
    let [a, b] = [main("a", &old).up(), main("b", &old).up()];
    let of_a = Worker::up(&place.worker("of-a", a.grpc_address()), &a);
    let of_b = Worker::up(&place.worker("of-b", b.grpc_address()), &b);
    a.admin().put("/entity/db/k", "1").expect(201);
    // What an operator does: a new key on top of the file, the earlier one below, and one of the mains started again.
    let key = fs::read_to_string(&old).unwrap();
    fs::write(&old, format!("new-key={}\n{key}", "ab".repeat(32))).unwrap();
    drop((new, of_b));
    b.stop();
    let b = main("b", &old).up();
    let began = Instant::now();
    let of_b = Worker::up(&place.worker("of-b", b.grpc_address()), &b);
    b.admin().put("/entity/db/k", "2").expect(200);
    let mut found = None;
    eventually("the other main's worker reads what is sealed under the new key", PATIENCE, || {
        found = Some(a.admin().get("/entity/db/k"));
        found.as_ref().is_some_and(|found| found.status == 200)
    });
    println!("known everywhere {:?} after the main began", began.elapsed());
    assert_eq!(found.unwrap().text(), "2");
    a.admin().put("/entity/db/k", "3").expect(200);
    assert_eq!(b.admin().get("/entity/db/k").expect(200).text(), "3");
    let session = login(&b, ADMIN_KEY);
    a.anonymous().bearer(&session).get("/entity/db/k").expect(200);
    assert!(!a.output().contains("a worker is gone"), "{}", a.output());
    drop((of_a, of_b));
}
