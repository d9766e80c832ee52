//! The limiter: failed credentials of one address are slowed down, and nobody else is.

use std::time::{Duration, Instant};

use delta_server::grpc_api::delta::v1::GetEntityRequest;
use delta_server::grpc_api::delta::v1::entities_client::EntitiesClient;
use delta_tests::http::{Request, Response};
use delta_tests::server::Server;
use delta_tests::skins::grpc::{channel, with_bearer};
use delta_tests::start::{ADMIN_KEY, Start};
use serde_json::json;
use tonic::Code;

use crate::support::{api_key, directory, login, problem, serve, server};

const WRONG: &str = "a-wrong-credential";

fn limited(start: &Start) -> Server {
    start.clone().args(&["--auth-failure-burst=3", "--auth-failure-rate=1"]).up()
}

fn wrong(server: &Server) -> Response {
    server.anonymous().bearer(WRONG).get("/api/me")
}

fn wrong_for(server: &Server, forwarded: &str) -> Response {
    let request = Request::new("GET", "/api/me").header("X-Forwarded-For", forwarded);
    server.anonymous().bearer(WRONG).send(&request)
}

#[track_caller]
fn throttled(answer: &Response) {
    problem(answer, 429, "throttled");
    assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
}

/// Sends wrong credentials until the address has no failure left; it has one more each second.
fn exhaust(server: &Server) {
    let statuses: Vec<u16> = (0..20).map(|_| wrong(server).status).take_while(|status| *status == 401).collect();
    assert!((3..10).contains(&statuses.len()), "{statuses:?}");
}

#[test]
fn too_many_failures_are_429_and_a_valid_credential_is_served_all_the_same() {
    let directory = directory();
    let server = limited(&serve(&directory));
    let key = api_key(&server, json!({"name": "k", "permissions": ["read"]}));
    let session = login(&server, ADMIN_KEY);
    exhaust(&server);
    throttled(&wrong(&server));
    throttled(&server.anonymous().post("/api/login", json!({"key": WRONG}).to_string()));
    for credential in [ADMIN_KEY, &key.secret, &session] {
        server.anonymous().bearer(credential).get("/api/me").expect(200);
    }
    login(&server, &key.secret);
    // Nothing was guessed where nothing was sent.
    problem(&server.anonymous().get("/api/me"), 401, "unauthorized");
    server.anonymous().get("/health").expect(200);
}

#[test]
fn a_client_without_a_credential_takes_nothing_from_its_address() {
    let directory = directory();
    let server = limited(&serve(&directory));
    for _ in 0..10 {
        problem(&server.anonymous().get("/api/me"), 401, "unauthorized");
    }
    problem(&wrong(&server), 401, "unauthorized");
}

#[test]
fn a_wrong_login_counts_as_any_other_failure() {
    let directory = directory();
    let server = limited(&serve(&directory));
    let login = || server.anonymous().post("/api/login", json!({"key": WRONG}).to_string());
    let statuses: Vec<u16> = (0..20).map(|_| login().status).take_while(|status| *status == 401).collect();
    assert!((3..10).contains(&statuses.len()), "{statuses:?}");
    throttled(&login());
}

#[test]
fn an_address_may_fail_again_after_a_while() {
    let directory = directory();
    let server = limited(&serve(&directory));
    exhaust(&server);
    let begun = Instant::now();
    while wrong(&server).status == 429 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never came back");
    }
    problem(&wrong(&server), 429, "throttled");
}

#[test]
fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
    let (directory, other) = (directory(), directory());
    let server = limited(&serve(&directory));
    exhaust(&server);
    throttled(&wrong_for(&server, "198.51.100.1"));

    let server = limited(&serve(&other).arg("--trusted-proxies=127.0.0.0/8,10.0.0.0/8"));
    for _ in 0..3 {
        wrong_for(&server, "198.51.100.1, 10.1.2.3");
    }
    exhaust(&server);
    throttled(&wrong(&server));
    problem(&wrong_for(&server, "198.51.100.2, 10.1.2.3"), 401, "unauthorized");
    // What the client itself wrote in front changes nothing.
    let made_up: Vec<u16> =
        (0..9).map(|at| wrong_for(&server, &format!("192.0.2.{at}, 198.51.100.9")).status).collect();
    assert!(made_up.contains(&429), "{made_up:?}");
}

#[test]
fn failures_are_many_by_default() {
    let (_directory, server) = server();
    let mut client = server.anonymous().bearer(WRONG);
    (0..200).for_each(|_| _ = client.get("/api/me").expect(401));
}

#[test]
fn limits_and_networks_that_mean_nothing_are_refused_at_the_start() {
    for (flag, named) in [
        ("--auth-failure-burst=0", "auth_failure_burst"),
        ("--auth-failure-rate=0", "auth_failure_rate"),
        ("--trusted-proxies=somewhere", "trusted_proxies"),
    ] {
        let ended = serve(&directory()).arg(flag).run();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.lines().count() == 1 && ended.stderr.contains(named), "{ended:?}");
    }
}

#[tokio::test]
async fn failures_over_grpc_and_rest_are_counted_together() {
    let directory = directory();
    let server = limited(&serve(&directory));
    let mut client = EntitiesClient::new(channel(server.grpc_address()));
    let mut statuses = Vec::new();
    while statuses.last() != Some(&Code::ResourceExhausted) {
        assert!(statuses.len() < 20, "{statuses:?}");
        statuses.push(client.get(with_bearer(GetEntityRequest::default(), WRONG)).await.err().unwrap().code());
    }
    assert_eq!(statuses[..3], [Code::Unauthenticated; 3]);
    throttled(&wrong(&server));
    // A valid credential is served, and no credential is asked for one.
    let get = || GetEntityRequest { database: "db".into(), key: "k".into(), ..GetEntityRequest::default() };
    assert_eq!(client.get(with_bearer(get(), ADMIN_KEY)).await.err().unwrap().code(), Code::NotFound);
    assert_eq!(client.get(get()).await.err().unwrap().code(), Code::Unauthenticated);
}
