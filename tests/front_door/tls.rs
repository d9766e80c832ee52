//! TLS: which versions, which certificate, and what happens when its files change.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use delta_tests::http::connect;
use delta_tests::server::Server;
use delta_tests::start::Start;
use rcgen::{CertificateParams, KeyPair};
use reqwest::{Certificate, Client, tls::Version};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{directory, serve};

/// How often a server is asked again.
const POLL: Duration = Duration::from_millis(50);

/// A certificate for loopback, and its key, both as PEM.
struct Pair {
    cert: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        Self { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    /// Writes both files, the certificate first, and with a moment between them in which they do not fit.
    fn write(&self, directory: &TempDir) {
        let [cert, key] = files(directory);
        fs::write(cert, &self.cert).unwrap();
        fs::write(&key, &self.key).unwrap();
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn files(directory: &TempDir) -> [PathBuf; 2] {
    ["cert.pem", "key.pem"].map(|name| directory.path().join(name))
}

fn with_files(start: Start, [cert, key]: &[PathBuf; 2]) -> Start {
    start.arg("--tls-cert").arg(cert).arg("--tls-key").arg(key)
}

/// A server with a certificate of its own.
fn tls_server(directory: &TempDir) -> (Pair, Server) {
    let pair = Pair::new();
    pair.write(directory);
    (pair, with_files(serve(directory), &files(directory)).up())
}

/// The status of a GET, by a new connection that trusts nothing but this certificate; an error is in words.
fn get_with(server: &Server, pair: &Pair, version: Option<Version>) -> Result<u16, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client =
            Client::builder().tls_certs_only([Certificate::from_pem(pair.cert.as_bytes()).unwrap()]).no_proxy();
        let client = match version {
            Some(version) => client.tls_version_min(version).tls_version_max(version),
            None => client,
        };
        let get = client.build().unwrap().get(format!("https://{}/health", server.address())).send();
        get.await.map(|answer| answer.status().as_u16()).map_err(|error| format!("{error:?}"))
    })
}

fn get(server: &Server, pair: &Pair) -> Result<u16, String> {
    get_with(server, pair, None)
}

/// Waits until new connections get this certificate.
#[track_caller]
fn wait_for(server: &Server, pair: &Pair) {
    let until = Instant::now() + Duration::from_secs(30);
    while get(server, pair) != Ok(200) {
        assert!(Instant::now() < until, "the certificate did not come: {}", server.output());
        thread::sleep(POLL);
    }
}

#[test]
fn https_is_served_and_plain_http_is_not() {
    let directory = directory();
    let (pair, server) = tls_server(&directory);
    assert_eq!(get(&server, &pair), Ok(200));
    for version in [Version::TLS_1_2, Version::TLS_1_3] {
        assert_eq!(get_with(&server, &pair, Some(version)), Ok(200));
    }
    assert!(get(&server, &Pair::new()).is_err());
    let mut plain = connect(server.address()).unwrap();
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer));
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let ended = server.stop();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.output.contains("REST:      https://127.0.0.1:"), "{ended:?}");
    assert!(!ended.output.contains("WARN"), "{ended:?}");
}

#[test]
fn a_handshake_has_the_deadline_of_a_header() {
    let directory = directory();
    Pair::new().write(&directory);
    let server = with_files(serve(&directory), &files(&directory)).arg("--header-deadline=500ms").up();
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00"] {
        let mut stream: TcpStream = connect(server.address()).unwrap();
        stream.write_all(begun).unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    }
}

#[test]
fn new_files_are_taken_and_broken_ones_are_not() {
    let directory = directory();
    let (first, server) = tls_server(&directory);
    let second = Pair::new();
    second.write(&directory);
    wait_for(&server, &second);
    assert!(get(&server, &first).is_err());
    // A certificate without its key changes nothing.
    fs::write(&files(&directory)[0], Pair::new().cert).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while !server.output().contains("the certificate in use stays") {
        assert!(Instant::now() < until, "{}", server.output());
        assert_eq!(get(&server, &second), Ok(200));
        thread::sleep(POLL);
    }
    assert_eq!(get(&server, &second), Ok(200));
    let third = Pair::new();
    third.write(&directory);
    wait_for(&server, &third);
    let ended = server.stop();
    assert!(ended.output.contains("give the two that belong together"), "{ended:?}");
    assert!(!ended.output.contains("PRIVATE KEY"), "{ended:?}");
}

#[test]
fn a_hangup_has_the_files_read_at_once() {
    let directory = directory();
    let (first, server) = tls_server(&directory);
    let hangup = || kill_process(Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap(), Signal::HUP).unwrap();
    hangup();
    let until = Instant::now() + Duration::from_secs(30);
    while !server.output().contains("SIGHUP: new connections get this certificate") {
        assert!(Instant::now() < until, "{}", server.output());
        thread::sleep(POLL);
    }
    assert_eq!(get(&server, &first), Ok(200));
}

#[test]
fn a_key_that_others_may_read_draws_a_warning() {
    let directory = directory();
    Pair::new().write(&directory);
    let [_, key] = &files(&directory);
    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = with_files(serve(&directory), &files(&directory)).up().stop();
    let line = format!("others may use the TLS key {0} (its mode is 644); run `chmod 600 {0}`", key.display());
    assert!(ended.output.contains(&line), "{ended:?}");
}

#[test]
fn an_address_that_others_reach_draws_a_warning_without_tls() {
    let directory = directory();
    let warning = "is served without TLS";
    let ended = serve(&directory).arg("--rest-addr=0.0.0.0:0").up().stop();
    assert!(ended.output.contains(warning), "{ended:?}");
    let ended = serve(&directory).up().stop();
    assert!(!ended.output.contains(warning), "{ended:?}");
}

/// The line of a start that fails, with the test's directory as `DIR`.
#[track_caller]
fn failure(directory: &TempDir, start: &Start) -> String {
    let finished = start.run();
    assert_eq!(finished.code, Some(1), "{finished:?}");
    finished.stderr.trim().replace(&directory.path().display().to_string(), "DIR")
}

#[test]
fn files_that_cannot_be_used_are_named_at_the_start() {
    let directory = directory();
    let pair = Pair::new();
    pair.write(&directory);
    let [cert, key] = files(&directory);
    let other = |name: &str, text: &str| {
        let file = directory.path().join(name);
        fs::write(&file, text).unwrap();
        file
    };
    let none: &Path = &directory.path().join("none.pem");
    let line = |cert: &Path, key: &Path| {
        failure(&directory, &with_files(serve(&directory), &[cert.to_owned(), key.to_owned()]))
    };
    let cases = [
        (
            line(none, &key),
            "cannot read the TLS certificate DIR/none.pem; check --tls-cert: No such file or directory (os error 2)",
        ),
        (
            line(&cert, none),
            "cannot read the TLS private key DIR/none.pem; check --tls-key: No such file or directory (os error 2)",
        ),
        (
            line(&key, &key),
            "there is no certificate in DIR/key.pem; --tls-cert takes the certificate and its chain as PEM",
        ),
        (line(&cert, &cert), "there is no private key in DIR/cert.pem; --tls-key takes an unencrypted one as PEM"),
        (
            line(&cert, &other("other.pem", &Pair::new().key)),
            "the key in DIR/other.pem is not that of the first certificate in DIR/cert.pem; give the two that belong together",
        ),
        (
            line(&cert, &other("cut.pem", &pair.key[..80])),
            "DIR/cut.pem is not PEM; --tls-key takes an unencrypted private key as PEM",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(line, format!("error: {expected}"));
    }
    let alone = failure(&directory, &serve(&directory).arg("--tls-cert").arg(&cert));
    assert_eq!(alone, "error: --tls-cert and --tls-key go together; give both");
    assert!(!directory.path().join("data").exists());
}
