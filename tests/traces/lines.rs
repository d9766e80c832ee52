//! Trace ids in log lines.

use std::fs;
use std::path::{Path, PathBuf};

use delta_server::grpc_api::delta::v1::GetEntityRequest;
use delta_server::grpc_api::delta::v1::entities_client::EntitiesClient;
use delta_tests::http::{Client, Request};
use delta_tests::server::Server;
use delta_tests::skins::grpc::{channel, with_bearer};
use serde_json::Value;
use tempfile::TempDir;

use super::{TRACE, traceparent};
use crate::support::{directory, serve};

/// What is logged where nothing is configured.
const DEFAULT: &str = "warn,delta_server=info";

fn logging(directory: &TempDir, what: &str, format: &str) -> Server {
    serve(directory).variable("RUST_LOG", what).args(&["--log-format", format]).up()
}

/// Makes an API key, of which the log has a line.
fn make_key(server: &Server, traceparents: &[&str]) {
    let request = Request::new("POST", "/api/keys").body(r#"{"name":"ci","permissions":["read"]}"#);
    let request = traceparents.iter().fold(request, |request, value| request.header("traceparent", value));
    server.admin().send(&request).expect(201);
}

/// The trace ids of the lines about new API keys, in JSON.
fn ids(output: &str) -> Vec<String> {
    let lines = output.lines().filter(|line| line.contains("an API key was made"));
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    lines.map(|text| line(text)["span"]["trace_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_trace_of_the_clients_is_in_the_lines_of_its_request() {
    for format in ["text", "json"] {
        let directory = directory();
        let server = logging(&directory, DEFAULT, format);
        make_key(&server, &[&traceparent()]);
        let output = server.stop().output;
        let line = output.lines().find(|line| line.contains("an API key was made")).unwrap();
        assert!(line.contains(TRACE), "{output}");
        assert_eq!(output.matches(TRACE).count(), line.matches(TRACE).count(), "{output}");
    }
}

#[test]
fn a_request_without_a_trace_that_counts_gets_one_of_its_own() {
    let directory = directory();
    let server = logging(&directory, DEFAULT, "json");
    let wrong = [&[][..], &["what"], &[&traceparent(), &traceparent()], &[&traceparent().to_uppercase()], &["\u{e9}"]];
    wrong.iter().for_each(|traceparents| make_key(&server, traceparents));
    let mut ids = ids(&server.stop().output);
    assert_eq!(ids.len(), wrong.len());
    assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())), "{ids:?}");
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() == wrong.len() && !ids.contains(&TRACE.to_owned()), "{ids:?}");
}

#[tokio::test]
async fn reads_are_followed_too_when_they_say_so() {
    let directory = directory();
    let server = logging(&directory, "trace", "text");
    let request = Request::new("GET", "/entity/db/k").header("traceparent", &traceparent());
    server.anonymous().bearer("a-credential-that-is-none").send(&request).expect(401);
    let mut client = EntitiesClient::new(channel(server.grpc_address()));
    let message = GetEntityRequest { database: "db".into(), key: "k".into(), ..Default::default() };
    let mut request = with_bearer(message, "another-credential-that-is-none");
    let other = traceparent().replace("4bf9", "aaaa");
    request.metadata_mut().insert("traceparent", other.parse().unwrap());
    assert!(client.get(request).await.is_err());
    server.admin().get("/entity/db/k").expect(404);
    let output = server.stop().output;
    let refused: Vec<&str> = output.lines().filter(|line| line.contains("a credential was refused")).collect();
    assert!(refused.len() == 2 && refused[0].contains(TRACE), "{output}");
    assert!(refused[1].contains(&TRACE.replace("4bf9", "aaaa")), "{output}");
}

/// Turns a bit of the only file below a directory.
pub(super) fn damage(directory: &Path) {
    let mut files: Vec<PathBuf> = vec![directory.into()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 60;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn a_read_that_fails_has_a_trace_and_the_id_that_its_client_was_told() {
    let directory = directory();
    let shared = directory.path().join("shared");
    let start = serve(&directory).variable("RUST_LOG", DEFAULT).arg("--metrics-addr=127.0.0.1:0");
    let start = start.arg("--shared-fs").arg(&shared);
    let server = start.up();
    server.admin().put("/entity/db/k", "1").expect(201);
    server.stop();
    damage(&shared.join("files"));
    let server = start.up();
    let problem = server.admin().get("/entity/db/k").expect(500).json();
    let metrics = Client::new(server.metrics_address()).get("/metrics").expect(200);
    assert!(metrics.text().contains("deltadb_seal_failures_total{operation=\"open\"} 1\n"), "{metrics:?}");
    let id = problem["instance"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let output = server.stop().output;
    let line = output.lines().find(|line| line.contains(&id)).unwrap();
    let trace = line.split_once("trace_id=").map(|(_, rest)| rest.split(' ').next().unwrap()).unwrap_or_default();
    assert!(trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
}
