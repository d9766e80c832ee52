//! The conformance suite of `Entities`, through the socket.

use delta_core::conformance::entities::{SCHEMA, SCHEMA_ID, Subject};
use delta_tests::skins::rest::RestEntities;

use crate::support::server;

/// A server of its own for each test, with the schema that the suite expects.
async fn fixture() -> Subject {
    let (directory, server) = server();
    server.admin().put(&format!("/schema/{SCHEMA_ID}"), SCHEMA).expect(200);
    // The server ends before its directory.
    Subject::new(RestEntities::new(server.address())).keeping((server, directory))
}

delta_core::conformance::entities!(fixture);
