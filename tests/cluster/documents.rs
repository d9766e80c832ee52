//! The commands of `docs/cluster.md` and `examples/cluster/run.sh` do what they say.

use std::fs;
use std::process::{Command, Stdio};

use delta_tests::namespace::Namespace;
use delta_tests::start::Start;

use crate::support::{PROGRAM, directory, has, skipped, workspace};

/// Uses the cluster that the example starts, stops it, and looks whether anything is left of it.
const USE: &str = r#"
example="$1"
"$example" ./cluster &
process=$!
workers() { curl -sf -H "Authorization: Bearer $(cat cluster/admin.key)" http://127.0.0.1:8080/admin/workers; }
until [ "$(workers | grep -o Available | wc -l)" = 3 ]; do sleep 0.1; done
curl -sf -X PUT -H "Authorization: Bearer $(cat cluster/admin.key)" -d 1 http://127.0.0.1:8080/entity/db/k
kill -TERM "$process"
wait "$process"
if curl -s http://127.0.0.1:8080/health; then exit 1; fi
"#;

/// Every block of shell in the document, one after the other.
fn commands() -> String {
    let text = fs::read_to_string(workspace().join("docs/cluster.md")).unwrap();
    let blocks: Vec<_> = text.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect();
    assert!(blocks.len() >= 3, "{blocks:?}");
    blocks.join("\n")
}

/// Runs a script with the program as `deltadb`, in a network of its own, because it uses the ports of the defaults; `None`
/// where that cannot be.
#[track_caller]
fn run(script: &str, arguments: &[&str]) -> Option<String> {
    if !["bash", "curl", "openssl"].into_iter().all(has) {
        skipped("this needs bash, curl and openssl");
        return None;
    }
    let Ok(namespace) = Namespace::new() else {
        skipped("this needs a network namespace");
        return None;
    };
    let (directory, bin) = (directory(), directory());
    std::os::unix::fs::symlink(Start::bare(PROGRAM, &[]).program(), bin.path().join("deltadb")).unwrap();
    let mut line = namespace.prefix();
    line.extend(
        ["timeout", "60", "bash", "-euc", script, "bash"].into_iter().chain(arguments.iter().copied()).map(Into::into),
    );
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).env_clear().current_dir(directory.path()).stdin(Stdio::null());
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
    let ended = command.env("PATH", path).env("HOME", directory.path()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{:?}: {out}\n{err}", ended.status);
    Some(out.into_owned())
}

#[test]
fn the_commands_of_the_document_do_what_it_says() {
    let script = format!("trap 'kill $(jobs -p)' EXIT\n{}\n", commands());
    if let Some(out) = run(&script, &[]) {
        assert!(out.contains("Available") && out.contains(r#"{"topic": "tea"}"#), "{out}");
    }
}

#[test]
fn the_example_starts_a_cluster_and_ends_all_of_it() {
    let example = workspace().join("examples/cluster/run.sh");
    run(USE, &[example.to_str().unwrap()]);
}
