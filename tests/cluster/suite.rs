//! The conformance suite of `Entities` through both sockets of a main, over workers.

use delta_core::conformance::entities::{SCHEMA, SCHEMA_ID, Subject};

use super::Cluster;

/// A main with workers for each test, with the schema that the suite expects.
fn cluster(workers: usize) -> Cluster {
    let cluster = Cluster::of(workers);
    cluster.main.admin().put(&format!("/schema/{SCHEMA_ID}"), SCHEMA).expect(200);
    cluster
}

mod through_rest_over_three_workers {
    use super::*;
    use delta_tests::skins::rest::RestEntities;

    async fn fixture() -> Subject {
        let cluster = cluster(3);
        Subject::new(RestEntities::new(cluster.main.address())).keeping(cluster)
    }

    delta_core::conformance::entities!(fixture);
}

mod through_grpc_over_one_worker {
    use super::*;
    use delta_tests::skins::grpc::GrpcEntities;

    async fn fixture() -> Subject {
        let cluster = cluster(1);
        let client = GrpcEntities::new(cluster.main.grpc_address(), cluster.main.address());
        Subject::new(client).keeping(cluster)
    }

    delta_core::conformance::entities!(fixture);
}
