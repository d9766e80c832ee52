//! The commands of `docs/cluster.md` and `examples/cluster/run.sh` do what they say.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use delta_tests::cluster::eventually;
use delta_tests::http::Client;
use delta_tests::namespace::Namespace;
use delta_tests::start::Start;
use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;
use crate::support::{PROGRAM, directory, has, skipped, workspace};

/// Every block of shell in the document, one after the other.
fn commands() -> String {
    let text = fs::read_to_string(workspace().join("docs/cluster.md")).unwrap();
    let blocks: Vec<_> = text.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect();
    assert!(blocks.len() >= 3, "{blocks:?}");
    blocks.join("\n")
}

#[test]
fn the_commands_of_the_document_do_what_it_says() {
    if !["bash", "curl", "openssl"].into_iter().all(has) {
        return skipped("this needs bash, curl and openssl");
    }
    // They use the ports of the defaults, so they have a network of their own.
    let Ok(namespace) = Namespace::new() else { return skipped("this needs a network namespace") };
    let (directory, bin) = (directory(), crate::support::directory());
    std::os::unix::fs::symlink(Start::bare(PROGRAM, &[]).program(), bin.path().join("deltadb")).unwrap();
    let script = format!("set -eu\ntrap 'kill $(jobs -p)' EXIT\n{}\n", commands());
    let mut line = namespace.prefix();
    line.extend(["timeout".into(), "60".into(), "bash".into(), "-c".into(), script.into()]);
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).env_clear().current_dir(directory.path()).stdin(Stdio::null());
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).env("HOME", directory.path());
    let ended = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{out}\n{err}");
    assert!(out.contains("Available") && out.contains(r#"{"topic": "tea"}"#), "{out}\n{err}");
}

/// A child that is killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_example_starts_a_cluster_and_ends_all_of_it() {
    if !has("bash") {
        return skipped("there is no bash");
    }
    let directory = directory();
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (rest, grpc) = (free(), free());
    let mut command = Command::new("bash");
    command.arg(workspace().join("examples/cluster/run.sh")).arg(directory.path().join("cluster"));
    command.env("DELTADB", PROGRAM).env("REST_ADDR", rest.to_string()).env("GRPC_ADDR", grpc.to_string());
    let mut running = Running(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    let key = || fs::read_to_string(directory.path().join("cluster/admin.key")).unwrap_or_default();
    let workers = || {
        let answer =
            Client::new(rest).bearer(key().trim()).try_send(&delta_tests::http::Request::new("GET", "/admin/workers"));
        answer.ok().filter(|answer| answer.status == 200).map_or(0, |answer| answer.json().as_array().unwrap().len())
    };
    eventually("three workers are there", PATIENCE, || workers() == 3);
    Client::new(rest).bearer(key().trim()).put("/entity/db/k", "1").expect(201);
    kill_process(Pid::from_child(&running.0), Signal::TERM).unwrap();
    eventually("the script ends", PATIENCE, || running.0.try_wait().unwrap().is_some());
    let gone = || Client::new(rest).try_send(&delta_tests::http::Request::new("GET", "/health")).is_err();
    eventually("and the main with it", Duration::from_secs(10), gone);
}
