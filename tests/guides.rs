//! The guides in `docs/` that begin servers: each command of theirs works as it stands there.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::Path;

use delta_tests::server::Server;
use delta_tests::start::Start;
use tempfile::TempDir;

use crate::support::{PROGRAM, data, dev, directory, has, run, skipped, workspace};

/// How a command begins that starts a server.
const SERVE: &str = "deltadb serve --dev";
/// Where servers listen in the guides.
const REST: &str = "127.0.0.1:8080";
const METRICS: &str = "127.0.0.1:9464";
/// What commands use beyond a shell.
const TOOLS: [&str; 3] = ["curl", "promtool", "openssl"];

/// The text of the blocks in this language, one after the other.
fn blocks(guide: &str, language: &str) -> String {
    let text = std::fs::read_to_string(workspace().join("docs").join(guide)).unwrap();
    let blocks = text.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(&format!("{language}\n"))).collect()
}

/// A server as the guide starts it, on free ports, over the data directory that it has in the guide.
fn started(directory: &TempDir, line: &str) -> Server {
    let (variables, arguments) = line.split_once(SERVE).unwrap();
    let start = dev(directory).variable("DELTADB_DATA_DIR", directory.path().join("delta-data"));
    let start = variables.split_whitespace().fold(start, |start, variable| {
        let (name, value) = variable.split_once('=').unwrap();
        start.variable(name, value)
    });
    let arguments = arguments.replace(METRICS, "127.0.0.1:0");
    start.directory(directory.path()).args(&arguments.split_whitespace().collect::<Vec<_>>()).up()
}

/// Runs a command of the guide in a shell.
fn runs(directory: &TempDir, server: Option<&Server>, line: &str) {
    let mut line = line.to_owned();
    if let Some(server) = server {
        line = line.replace(REST, &server.address().to_string());
        if line.contains(METRICS) {
            line = line.replace(METRICS, &server.metrics_address().to_string());
        }
    }
    let script = format!("cd {} && set -o pipefail && {line}", directory.path().display());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let bin = directory.path().join("bin");
    let paths = [bin.into_os_string(), path].join(&OsString::from(":"));
    let words: Vec<OsString> = vec!["bash".into(), "-ec".into(), script.into()];
    let finished = run(&words, &[("PATH", paths.to_str().unwrap())]);
    assert_eq!(finished.code, Some(0), "{line}: {finished:?}");
}

/// Every command of a guide, in order; gives how many ran.
fn follow(guide: &str) -> usize {
    let directory = directory();
    assert!(!data(&directory).exists());
    std::fs::create_dir(directory.path().join("bin")).unwrap();
    let program = Start::bare(PROGRAM, &[]).program().to_owned();
    symlink(&program, directory.path().join("bin/deltadb")).unwrap();
    let (mut server, mut ran) = (None, 0);
    for line in blocks(guide, "sh").lines() {
        if line.contains(SERVE) {
            drop(server.take());
            server = Some(started(&directory, line));
        } else if let Some(missing) = TOOLS.iter().find(|tool| line.contains(*tool) && !has(tool)) {
            skipped(&format!("there is no {missing} for: {line}"));
            continue;
        } else {
            runs(&directory, server.as_ref(), line);
        }
        ran += 1;
    }
    ran
}

#[test]
fn every_command_of_the_guide_to_watching_works() {
    if !has("bash") {
        return skipped("there is no bash");
    }
    assert!(follow("observability.md") >= 4);
}

#[test]
fn every_command_of_the_guide_to_certificates_works() {
    if !has("bash") {
        return skipped("there is no bash");
    }
    assert!(follow("certificates.md") >= 5);
}

#[test]
fn prometheus_takes_the_configuration_of_the_guide() {
    if !has("promtool") {
        return skipped("there is no promtool");
    }
    let directory = directory();
    let file: &Path = &directory.path().join("prometheus.yml");
    std::fs::write(file, blocks("observability.md", "yaml")).unwrap();
    let words: Vec<OsString> = vec!["promtool".into(), "check".into(), "config".into(), file.into()];
    let finished = run(&words, &[]);
    assert!(finished.code == Some(0) && finished.stdout.contains("SUCCESS"), "{finished:?}");
}

#[test]
fn the_guide_names_every_metric_that_there_is() {
    let text = std::fs::read_to_string(workspace().join("docs/observability.md")).unwrap();
    let directory = directory();
    let server = dev(&directory).arg("--metrics-addr=127.0.0.1:0").up();
    server.anonymous().get("/health").expect(200);
    let page = delta_tests::http::Client::new(server.metrics_address()).get("/metrics").expect(200);
    let names =
        page.text().lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned));
    for name in names.filter(|name| !name.starts_with("process_")) {
        let last = name.trim_start_matches("deltadb_").split_once('_').map_or("", |(_, rest)| rest).to_owned();
        let short = last.split_once('_').map_or(last.clone(), |(_, rest)| rest.to_owned());
        let written = [name.clone(), format!("…{last}"), format!("…{short}")];
        assert!(written.iter().any(|name| text.contains(&format!("`{name}"))), "{name} is not in the guide");
    }
}
