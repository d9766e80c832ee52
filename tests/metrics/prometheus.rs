//! Prometheus itself reads the page.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use delta_tests::http::Client;
use tempfile::TempDir;

use super::{DEADLINE, measured, page};
use crate::support::{directory, has, skipped};

/// How often a question is asked again.
const POLL: Duration = Duration::from_millis(20);

/// A Prometheus of the test's own; it ends with the test.
pub(super) struct Prometheus {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes these addresses.
    pub(super) fn scraping(targets: &[SocketAddr]) -> Self {
        let targets = targets.iter().map(|target| format!("\"{target}\"")).collect::<Vec<_>>().join(", ");
        let directory = directory();
        let config = directory.path().join("prometheus.yml");
        let text = format!(
            "scrape_configs:\n- job_name: deltadb\n  scrape_interval: 100ms\n  scrape_timeout: 100ms\n  static_configs:\n  - targets: [{targets}]\n"
        );
        std::fs::write(&config, text).unwrap();
        let flag = |name: &str, value: &std::path::Path| format!("--{name}={}", value.display());
        let mut child = Command::new("prometheus")
            .arg(flag("config.file", &config))
            .arg(flag("storage.tsdb.path", &directory.path().join("data")))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let listens = |line: String| line.split_once("msg=\"Listening on\" address=")?.1.trim().parse().ok();
        let address = lines.by_ref().find_map(listens).expect("Prometheus listens");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, _directory: directory }
    }

    /// Asks until the answer of a query is this.
    #[track_caller]
    pub(super) fn answers(&self, query: &str, expected: &str) {
        let query = percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC);
        let until = Instant::now() + DEADLINE;
        loop {
            let answer = Client::new(self.address).get(&format!("/api/v1/query?query={query}"));
            // While it starts it says so with 503.
            if answer.status == 200 && answer.json()["data"]["result"][0]["value"][1] == expected {
                return;
            }
            assert!(Instant::now() < until, "{query} is not {expected}: {answer:?}");
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn prometheus_counts_the_requests_that_were_made() {
    if !has("prometheus") {
        return skipped("there is no prometheus");
    }
    let (_directory, server) = measured();
    let prometheus = Prometheus::scraping(&[server.metrics_address()]);
    let mut client = server.admin();
    client.put("/entity/db/k", "1").expect(201);
    for _ in 0..7 {
        client.get("/entity/db/k").expect(200);
    }
    for _ in 0..3 {
        client.get("/entity/db/none").expect(404);
    }
    let requests = "deltadb_http_request_duration_seconds_count";
    prometheus.answers(&format!("sum({requests}{{route=\"/entity/{{database}}/{{key}}\"}})"), "11");
    prometheus.answers(&format!("sum({requests}{{method=\"GET\",status=\"200\"}})"), "7");
    prometheus.answers("up{job=\"deltadb\"}", "1");
    prometheus.answers("count(deltadb_build_info{role=\"serve\",storage=\"embedded\"})", "1");
    server.kill();
    prometheus.answers("up{job=\"deltadb\"}", "0");
}

#[test]
fn promtool_finds_nothing_to_say_about_the_page() {
    if !has("promtool") {
        return skipped("there is no promtool");
    }
    let (_directory, server) = measured();
    server.admin().put("/entity/db/k", "1").expect(201);
    server.admin().get("/api/databases/db/keys").expect(200);
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().unwrap();
    child.stdin.take().unwrap().write_all(page(&server).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
