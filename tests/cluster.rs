//! A main and its workers behave like one server, whatever becomes of a worker.

mod certificates;
mod contract;
mod documents;
mod drills;
mod enrolment;
mod hardships;
mod link;
mod mains;
mod memory;
mod queues;
mod strangers;
mod suite;

use std::time::Duration;

use delta_tests::cluster::{Place, Worker, eventually};
use delta_tests::server::Server;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{PROGRAM, directory};

/// How long anything may take that is a matter of seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A main with workers called `w1`, `w2`, …; what is dropped first comes first.
struct Cluster {
    workers: Vec<Worker>,
    main: Server,
    place: Place,
    _directory: TempDir,
}

impl Cluster {
    fn of(workers: usize) -> Self {
        Self::with(workers, &[])
    }

    fn with(workers: usize, arguments: &[&str]) -> Self {
        let directory = directory();
        let place = Place::new(PROGRAM, directory.path());
        let main = place.main().args(arguments).up();
        let mut cluster = Self { workers: Vec::new(), main, place, _directory: directory };
        (1..=workers).for_each(|n| cluster.hire(&format!("w{n}")));
        cluster
    }

    fn hire(&mut self, id: &str) {
        let worker = Worker::up(&self.place.worker(id, self.main.grpc_address()), &self.main);
        self.workers.push(worker);
    }

    /// Name and status of every worker that the main lists.
    fn listed(&self) -> Vec<(String, String)> {
        let listed = self.main.admin().get("/admin/workers").expect(200).json();
        let text = |worker: &Value, member: &str| worker[member].as_str().unwrap().to_owned();
        let all = listed.as_array().unwrap();
        all.iter().map(|worker| (text(worker, "worker_id"), text(worker, "status"))).collect()
    }

    #[track_caller]
    fn until_listed(&self, id: &str, status: &str) -> Duration {
        let wanted = (id.to_owned(), status.to_owned());
        eventually(&format!("{id} is {status}"), PATIENCE, || self.listed().contains(&wanted))
    }
}
