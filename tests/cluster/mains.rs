//! Two mains over one store, each with workers of its own.

use std::thread;
use std::time::Duration;

use delta_tests::cluster::Worker;
use delta_tests::server::Server;
use serde_json::json;

use super::Cluster;
use crate::support::{ApiKey, api_key, login, problem};

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
