//! What Prometheus is told: every request counted where it belongs, on a port of its own, and no name of anybody's.

mod page;
mod prometheus;
mod workers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use delta_tests::http::Client;
use delta_tests::server::Server;
use tempfile::TempDir;

use crate::support::{directory, serve};

/// How long a figure may take to come.
const DEADLINE: Duration = Duration::from_secs(30);

/// A server with metrics over a new store.
fn measured() -> (TempDir, Server) {
    let directory = directory();
    let server = serve(&directory).arg("--metrics-addr=127.0.0.1:0").up();
    (directory, server)
}

/// The page as it is.
#[track_caller]
fn page(server: &Server) -> String {
    page_at(server.metrics_address())
}

#[track_caller]
fn page_at(address: SocketAddr) -> String {
    Client::new(address).get("/metrics").expect(200).text().to_owned()
}

/// Every sample of the page: its name with its labels, and its value.
#[track_caller]
fn samples(server: &Server) -> BTreeMap<String, f64> {
    samples_at(server.metrics_address())
}

#[track_caller]
fn samples_at(address: SocketAddr) -> BTreeMap<String, f64> {
    let page = page_at(address);
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    lines.map(sample).collect()
}

/// Waits until a sample has this value.
#[track_caller]
fn becomes(server: &Server, name: &str, value: f64) {
    becomes_at(server.metrics_address(), name, value);
}

#[track_caller]
fn becomes_at(address: SocketAddr, name: &str, value: f64) {
    let until = Instant::now() + DEADLINE;
    loop {
        let samples = samples_at(address);
        if samples.get(name) == Some(&value) {
            return;
        }
        assert!(Instant::now() < until, "{name} does not become {value}: {samples:#?}");
    }
}
