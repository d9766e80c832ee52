//! The page itself.

use std::io::Write;

use delta_server::grpc_api::delta::v1::GetEntityRequest;
use delta_server::grpc_api::delta::v1::entities_client::EntitiesClient;
use delta_tests::http::{Client, Request, connect};
use delta_tests::server::Server;
use delta_tests::skins::grpc::{channel, with_bearer};
use delta_tests::start::ADMIN_KEY;

use super::{becomes, measured, page, samples};
use crate::support::{directory, serve};

/// Names that no label may hold.
const DATABASE: &str = "marker-of-a-database";
const KEY: &str = "marker-of-a-key";
/// Every label that there may be.
pub(super) const LABELS: [&str; 14] = [
    "kind",
    "method",
    "route",
    "status",
    "code",
    "call",
    "outcome",
    "interface",
    "operation",
    "limit",
    "le",
    "version",
    "storage",
    "role",
];

fn rest(method: &str, route: &str, status: impl std::fmt::Display) -> String {
    format!("deltadb_http_request_duration_seconds_count{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}")
}

/// Asks for an entity by gRPC; gives the code.
async fn call(server: &Server, key: &str, token: &str) -> tonic::Code {
    let mut client = EntitiesClient::new(channel(server.grpc_address()));
    let message = GetEntityRequest { database: DATABASE.into(), key: key.into(), ..Default::default() };
    let answer = client.get(with_bearer(message, token)).await;
    answer.map_or_else(|status| status.code(), |_| tonic::Code::Ok)
}

#[test]
fn a_server_that_is_not_told_to_serves_no_metrics() {
    let directory = directory();
    let server = serve(&directory).up();
    server.admin().get("/metrics").expect(404);
    assert!(!server.stop().output.contains("Metrics:"));
}

#[test]
fn the_port_has_the_page_and_nothing_else() {
    let (_directory, server) = measured();
    let mut client = Client::new(server.metrics_address());
    let page = client.get("/metrics").expect(200);
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4"));
    client.send(&Request::new("HEAD", "/metrics")).expect(200);
    let refused = client.post("/metrics", "").expect(405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
    for other in ["/", "/metrics/", "/entity/a/b", "/admin/stats", "/docs"] {
        client.get(other).expect(404);
    }
    server.admin().get("/metrics").expect(404);
}

#[test]
fn every_request_is_counted_by_its_route_and_its_status() {
    let (_directory, server) = measured();
    let mut client = server.admin();
    let entity = format!("/entity/{DATABASE}/{KEY}");
    client.put(&entity, "{\"n\":1}").expect(201);
    client.put(&entity, "{\"n\":2}").expect(200);
    for _ in 0..3 {
        client.get(&entity).expect(200);
    }
    client.send(&Request::new("HEAD", &entity)).expect(200);
    client.put(&entity, "{").expect(400);
    client.get(&format!("/entity/{DATABASE}/absent")).expect(404);
    client.get(&format!("/entity/{DATABASE}?key={KEY}")).expect(200);
    server.anonymous().get(&entity).expect(401);
    client.get("/docs").expect(200);
    client.get(&format!("/{KEY}/{DATABASE}")).expect(404);
    client.send(&Request::new("BREW", &entity)).expect(405);
    let found = samples(&server);
    let of_entity = "/entity/{database}/{key}";
    for (method, route, status, count) in [
        ("PUT", of_entity, 201, 1.0),
        ("PUT", of_entity, 200, 1.0),
        ("PUT", of_entity, 400, 1.0),
        ("GET", of_entity, 200, 3.0),
        ("HEAD", of_entity, 200, 1.0),
        ("GET", of_entity, 404, 1.0),
        ("GET", of_entity, 401, 1.0),
        ("GET", "/entity/{database}", 200, 1.0),
        ("GET", "page", 200, 1.0),
        ("other", "other", 404, 1.0),
        ("other", "other", 405, 1.0),
    ] {
        assert_eq!(found.get(&rest(method, route, status)), Some(&count), "{method} {route} {status} {found:#?}");
    }
    assert_eq!(found["deltadb_requests_in_flight{interface=\"rest\"}"], 0.0);
}

#[tokio::test]
async fn every_call_is_counted_by_its_method_and_its_code() {
    let (_directory, server) = measured();
    server.admin().put(&format!("/entity/{DATABASE}/{KEY}"), "1").expect(201);
    assert_eq!(call(&server, KEY, ADMIN_KEY).await, tonic::Code::Ok);
    assert_eq!(call(&server, "absent", ADMIN_KEY).await, tonic::Code::NotFound);
    assert_eq!(call(&server, KEY, "a-credential-that-is-none").await, tonic::Code::Unauthenticated);
    let found = samples(&server);
    for code in ["OK", "NOT_FOUND", "UNAUTHENTICATED"] {
        let name =
            format!("deltadb_grpc_call_duration_seconds_count{{code=\"{code}\",method=\"/delta.v1.Entities/Get\"}}");
        assert_eq!(found.get(&name), Some(&1.0), "{name} {found:#?}");
    }
}

#[test]
fn what_the_data_plane_does_is_counted() {
    let (_directory, server) = measured();
    let mut client = server.admin();
    let before = samples(&server);
    client.put("/entity/db/k", "{\"n\":1}").expect(201);
    client.get("/entity/db/k").expect(200);
    client.get("/entity/db/absent").expect(404);
    client.get("/api/databases/db/keys").expect(200);
    client.delete("/api/databases/db").expect(202);
    becomes(&server, "deltadb_drops_total", 1.0);
    let after = samples(&server);
    let grown = |name: &str| after[name] - before.get(name).copied().unwrap_or_default();
    let call = |call: &str| format!("deltadb_storage_call_duration_seconds_count{{call=\"{call}\",outcome=\"ok\"}}");
    assert_eq!(grown("deltadb_cache_hits_total"), 1.0);
    assert_eq!(grown("deltadb_cache_misses_total"), 1.0);
    assert!(grown("deltadb_seal_operations_total{operation=\"seal\"}") >= 1.0);
    assert_eq!(grown("deltadb_seal_failures_total{operation=\"open\"}"), 0.0);
    assert_eq!(grown(&call("write_batch")), 1.0, "{after:#?}");
    assert!(grown(&call("put")) >= 1.0 && grown(&call("list")) >= 1.0, "{after:#?}");
    assert_eq!(grown("deltadb_key_index_builds_total"), 1.0);
    assert!(after["process_resident_memory_bytes"] > 1e6 && after["process_open_fds"] > 5.0, "{after:#?}");
    assert!(after["deltadb_connections_accepted_total"] >= 2.0 && after["deltadb_connections"] >= 1.0, "{after:#?}");
    let age = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() - after["process_start_time_seconds"];
    assert!((-5.0..3600.0).contains(&age), "{age}");
}

#[test]
fn a_request_whose_deadline_passed_is_told_apart() {
    let directory = directory();
    let server = serve(&directory).args(&["--metrics-addr=127.0.0.1:0", "--body-deadline=1s"]).up();
    let mut stream = connect(server.address()).unwrap();
    let head = format!(
        "PUT /entity/db/k HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\nContent-Length: 10\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).unwrap();
    becomes(&server, "deltadb_requests_in_flight{interface=\"rest\"}", 1.0);
    let late = rest("PUT", "/entity/{database}/{key}", "none");
    becomes(&server, &late, 1.0);
    becomes(&server, "deltadb_requests_in_flight{interface=\"rest\"}", 0.0);
}

#[track_caller]
pub(super) fn no_label_but_these(page: &str) {
    let labels = page.lines().filter_map(|line| line.split_once('{')?.1.rsplit_once('}')).flat_map(|(labels, _)| {
        labels.split("\",").filter_map(|label| label.split_once("=\"")).map(|(name, _)| name.to_owned())
    });
    for label in labels {
        assert!(LABELS.contains(&label.as_str()), "{label}");
    }
}

#[tokio::test]
async fn no_label_holds_what_a_client_chose() {
    let (_directory, server) = measured();
    let mut client = server.admin();
    for n in 0..20 {
        client.put(&format!("/entity/{DATABASE}{n}/{KEY}{n}"), "1").expect(201);
        client.get(&format!("/{KEY}/{n}")).expect(404);
        client.send(&Request::new(&format!("M{n}"), "/")).expect(405);
        call(&server, &format!("{KEY}{n}"), ADMIN_KEY).await;
    }
    let page = page(&server);
    for marker in [DATABASE, KEY, "M1", ADMIN_KEY] {
        assert!(!page.contains(marker), "{marker}: {page}");
    }
    no_label_but_these(&page);
    assert!(page.lines().count() < 600, "{}", page.lines().count());
}
