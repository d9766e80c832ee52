//! Schemathesis sends what the OpenAPI document allows and what it forbids, and finds nothing.
//!
//! `DELTA_TESTS_SCHEMATHESIS_EXAMPLES` says how many requests an operation gets at most in the phase that fuzzes, and
//! `DELTA_TESTS_SCHEMATHESIS_SEED` which ones. Checks and accepted answers stand in `tools/schemathesis`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use delta_tests::packages;
use delta_tests::server::Server;
use delta_tests::start::{ADMIN_KEY, Finished};
use serde_json::{Value, json};

use crate::support::{run, server, skipped, workspace};

fn tool() -> PathBuf {
    workspace().join("tests/tools/schemathesis")
}

/// A variable's number, or what counts without it.
fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// The directory of the `st` program, or why there is none.
fn installed() -> Result<PathBuf, String> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis");
    packages::python(&tool().join("requirements.txt"), &home)?;
    Ok(home)
}

/// Runs it with a credential, in the directory of its configuration: what it printed, and its report.
fn fuzz(home: &Path, server: &Server, token: &str, directory: &Path) -> (Finished, Value) {
    let report = directory.join("report.json");
    let examples = number("DELTA_TESTS_SCHEMATHESIS_EXAMPLES", 100);
    let seed = number("DELTA_TESTS_SCHEMATHESIS_SEED", 1);
    let arguments = [
        format!("--config-file={}", tool().join("schemathesis.toml").display()),
        "run".into(),
        format!("http://{}/openapi.json", server.address()),
        format!("--max-examples={examples}"),
        format!("--seed={seed}"),
        format!("--report-json-path={}", report.display()),
    ];
    let line = [home.join("bin/st").into_os_string()].into_iter().chain(arguments.map(OsString::from));
    let hooks = format!("{}", tool().display());
    let variables = [
        ("DELTADB_TOKEN", token),
        ("PYTHONPATH", &hooks),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("HYPOTHESIS_STORAGE_DIRECTORY", directory.to_str().unwrap()),
    ];
    let finished = run(&line.collect::<Vec<_>>(), &variables);
    let report = fs::read_to_string(&report).unwrap_or_else(|error| panic!("no report ({error}): {finished:?}"));
    let report = serde_json::from_str(&report).unwrap_or_else(|error| panic!("no report ({error}): {finished:?}"));
    (finished, report)
}

/// Every operation was tried in every phase but the one for examples, of which the document has none; nothing failed.
#[track_caller]
fn finds_nothing(finished: &Finished, report: &Value) {
    assert_eq!(finished.code, Some(0), "{}\n{}", finished.stdout, finished.stderr);
    let (operations, cases) = (&report["operations"], &report["test_cases"]);
    assert_eq!(operations["total"], operations["tested"], "{operations}");
    assert!(operations["total"].as_u64() >= Some(16), "{operations}");
    for phase in ["coverage", "fuzzing", "stateful"] {
        assert_eq!(report["phases"][phase]["status"], "success", "{phase}: {}", finished.stdout);
    }
    assert_eq!(report["failures"], json!([]));
    assert_eq!(report["complete"], true);
    println!("{} operations, {} requests, {} s", operations["tested"], cases["generated"], report["running_time"]);
}

/// What the names of the configuration's dictionaries stand for.
fn prepare(server: &Server) {
    let mut admin = server.admin();
    admin.put("/schema/anything", "true").expect(200);
    for database in ["orders", "chat.v1"] {
        admin.put(&format!("/entity/{database}"), r#"{"known":{"a":[1]},"user:1":null,"ключ":"€"}"#).expect(200);
    }
}

/// A whole run as whoever the credential stands for.
fn finds_nothing_as(credential: impl FnOnce(&Server) -> String) {
    let home = match installed() {
        Ok(home) => home,
        Err(why) => return skipped(&why),
    };
    let (directory, server) = server();
    prepare(&server);
    let token = credential(&server);
    let (finished, report) = fuzz(&home, &server, &token, directory.path());
    finds_nothing(&finished, &report);
    assert!(!server.output().contains("a request failed"), "{}", server.output());
}

#[test]
fn an_administrator_finds_nothing() {
    finds_nothing_as(|_| ADMIN_KEY.to_owned());
}

#[test]
fn a_key_that_may_read_finds_nothing() {
    finds_nothing_as(|server| {
        let made = server.admin().post("/api/keys", r#"{"name":"reader","permissions":["read"]}"#).expect(201);
        made.json()["secret"].as_str().unwrap().to_owned()
    });
}
