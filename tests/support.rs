//! What every test here begins with: a directory and a server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use delta_tests::http::Response;
use delta_tests::server::Server;
use delta_tests::start::{Finished, Start};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The server that cargo built together with the tests.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_deltadb-under-test");

/// A directory that ends with the test.
pub(crate) fn directory() -> TempDir {
    tempfile::Builder::new().prefix("deltadb-test-").tempdir().unwrap()
}

/// The data directory in a test's directory.
pub(crate) fn data(directory: &TempDir) -> PathBuf {
    directory.path().join("data")
}

/// How `deltadb serve` is started over the data of a test.
pub(crate) fn serve(directory: &TempDir) -> Start {
    Start::serve(PROGRAM, &data(directory))
}

/// How `deltadb serve --dev` is started over the data of a test.
pub(crate) fn dev(directory: &TempDir) -> Start {
    Start::dev(PROGRAM, &data(directory))
}

/// A server over a new store, which ends with the directory.
pub(crate) fn server() -> (TempDir, Server) {
    let directory = directory();
    let server = serve(&directory).up();
    (directory, server)
}

/// An API key that a test made.
pub(crate) struct ApiKey {
    pub(crate) id: String,
    /// The credential.
    pub(crate) secret: String,
}

impl ApiKey {
    /// A session of the key.
    pub(crate) fn login(&self, server: &Server) -> String {
        login(server, &self.secret)
    }
}

/// Makes an API key: `{"name": …, "permissions": […]}`, and `scopes` and `expires_in` where it has them.
#[track_caller]
pub(crate) fn api_key(server: &Server, wanted: Value) -> ApiKey {
    let made = server.admin().post("/api/keys", wanted.to_string()).expect(201).json();
    let text = |member: &str| made[member].as_str().unwrap().to_owned();
    ApiKey { id: text("id"), secret: text("secret") }
}

/// A session of a key.
#[track_caller]
pub(crate) fn login(server: &Server, key: &str) -> String {
    let answer = server.anonymous().post("/api/login", json!({"key": key}).to_string());
    answer.expect(200).json()["token"].as_str().unwrap().to_owned()
}

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// An answer that is a problem (RFC 9457) of this status and code; gives its body.
#[track_caller]
pub(crate) fn problem(answer: &Response, status: u16, code: &str) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let body = answer.json();
    assert_eq!((body["error"].as_str(), body["status"].as_u64()), (Some(code), Some(status.into())), "{answer:?}");
    let mut members: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    members.retain(|member| *member != "violations");
    assert_eq!(members, ["detail", "error", "instance", "status", "title", "type"], "{answer:?}");
    for member in ["title", "detail", "type"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {answer:?}");
    }
    assert!(body["instance"].as_str().is_some_and(|urn| urn.starts_with("urn:deltadb:request:")), "{answer:?}");
    assert_eq!(answer.header("www-authenticate"), (status == 401).then_some("Bearer"), "{answer:?}");
    body
}

/// Whether a program can be started at all.
pub(crate) fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

/// Runs a program of somebody else's to its end, with nothing in its environment but the basics and these variables.
pub(crate) fn run(line: &[OsString], variables: &[(&str, &str)]) -> Finished {
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).env_clear().stdin(Stdio::null()).env("LANG", "C.UTF-8");
    command.envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME"));
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Says why a test did not run here.
pub(crate) fn skipped(why: &str) {
    println!("SKIPPED: {why}");
}

/// A library that makes every sync do nothing; the error says what is missing.
pub(crate) fn eatmydata() -> Result<&'static str, String> {
    let library = "libeatmydata.so";
    let output = Command::new("cat").arg("/dev/null").env("LD_PRELOAD", library).output();
    // The loader complains about a library that it does not find, and goes on.
    let found = output.is_ok_and(|output| output.status.success() && output.stderr.is_empty());
    found.then_some(library).ok_or_else(|| format!("it needs {library} (Debian: apt-get install libeatmydata1)"))
}

/// Lets this process open so many files; `false` if it may not.
pub(crate) fn may_open(files: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= files) {
        return true;
    }
    limit.maximum.is_none_or(|maximum| maximum >= files)
        && setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).is_ok()
}
