//! `certs`: what it writes is trusted by others, and nothing is ever replaced.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use delta_tests::start::{ADMIN_KEY, Finished, Start};
use tempfile::TempDir;

use crate::support::{PROGRAM, directory, has, run, serve, skipped};

use super::{printed, refused};

fn certs(directory: &TempDir, arguments: &[&str]) -> Finished {
    Start::bare(PROGRAM, &["certs"]).args(arguments).directory(directory.path()).run()
}

/// A directory with an authority in `certs/`.
fn authority() -> TempDir {
    let directory = directory();
    printed(certs(&directory, &["init"]));
    directory
}

/// What openssl says about a file below the directory.
fn openssl(directory: &TempDir, arguments: &[&str]) -> Finished {
    let path = |argument: &&str| match argument.contains('/') {
        true => directory.path().join(argument).into_os_string(),
        false => argument.into(),
    };
    let line: Vec<_> = ["openssl"].iter().map(Into::into).chain(arguments.iter().map(path)).collect();
    run(&line, &[])
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_server_with_an_issued_certificate_is_reached_by_its_names() {
    let directory = authority();
    printed(certs(&directory, &["issue", "--server", "localhost,127.0.0.1"]));
    let file = |name: &str| directory.path().join("certs").join(name);
    let server = serve(&directory).arg("--tls-cert").arg(file("server.pem")).arg("--tls-key").arg(file("server.key"));
    let server = server.up();
    for host in ["127.0.0.1", "localhost"] {
        let me = Start::bare(PROGRAM, &["me", "--ca-cert", "certs/ca.pem"]).directory(directory.path());
        let me = me.variable("DELTADB_TOKEN", ADMIN_KEY).variable("XDG_CONFIG_HOME", directory.path());
        let me = me.variable("DELTADB_URL", format!("https://{host}:{}", server.address().port()));
        assert!(printed(me.run()).contains("admin"), "{host}");
    }
    assert!(!server.stop().output.contains("others may use the TLS key"));
}

#[test]
fn files_are_for_their_owner_only_and_are_never_replaced() {
    let directory = authority();
    let file = |name: &str| directory.path().join("certs").join(name);
    printed(certs(&directory, &["issue", "--worker", "proc-1"]));
    let all = ["ca.pem", "ca.key", "proc-1.pem", "proc-1.key"].map(file);
    let before = all.clone().map(|file| (mode(&file), fs::read(&file).unwrap()));
    assert!(before.iter().all(|(mode, _)| *mode == 0o600) && mode(&directory.path().join("certs")) == 0o700);
    for arguments in [&["init"][..], &["issue", "--worker", "proc-1"], &["issue", "--server", "a", "--name", "ca"]] {
        let line = refused(1, certs(&directory, arguments));
        assert!(line.contains("is there already, and is left alone"), "{line}");
    }
    // One of two files is enough.
    fs::write(file("half.key"), "mine").unwrap();
    refused(1, certs(&directory, &["issue", "--server", "a", "--name", "half"]));
    assert!(fs::read_to_string(file("half.key")).unwrap() == "mine" && !file("half.pem").exists());
    assert_eq!(before, all.map(|file| (mode(&file), fs::read(&file).unwrap())));
}

#[test]
fn openssl_accepts_what_is_issued_for_its_purpose_only() {
    if !has("openssl") {
        return skipped("there is no openssl");
    }
    let directory = authority();
    printed(certs(&directory, &["issue", "--server", "db.example,*.db.example,::1"]));
    printed(certs(&directory, &["issue", "--worker", "proc_1.a", "--days", "2"]));
    let verify = |purpose: &str, more: &[&str], file: &str| {
        let line = [&["verify", "-x509_strict", "-purpose", purpose, "-CAfile", "certs/ca.pem"], more, &[file]];
        openssl(&directory, &line.concat()).code
    };
    for host in ["db.example", "a.db.example"] {
        assert_eq!(verify("sslserver", &["-verify_hostname", host], "certs/server.pem"), Some(0), "{host}");
    }
    assert_eq!(verify("sslserver", &["-verify_ip", "::1"], "certs/server.pem"), Some(0));
    assert_ne!(verify("sslserver", &["-verify_hostname", "other.example"], "certs/server.pem"), Some(0));
    assert_ne!(verify("sslclient", &[], "certs/server.pem"), Some(0));
    assert_eq!(verify("sslclient", &[], "certs/proc_1.a.pem"), Some(0));
    assert_ne!(verify("sslserver", &[], "certs/proc_1.a.pem"), Some(0));
    let text = openssl(&directory, &["x509", "-noout", "-ext", "subjectAltName", "-in", "certs/proc_1.a.pem"]);
    assert!(text.stdout.contains("DNS:proc_1.a\n"), "{text:?}");
    let seconds = |days: u32| (days * 86_400).to_string();
    let ends = |days| openssl(&directory, &["x509", "-checkend", &seconds(days), "-in", "certs/proc_1.a.pem"]).code;
    assert_eq!((ends(1), ends(3)), (Some(0), Some(1)));
    let other = authority();
    fs::copy(other.path().join("certs/ca.pem"), directory.path().join("certs/other.pem")).unwrap();
    let line = ["verify", "-CAfile", "certs/other.pem", "certs/server.pem"];
    assert_ne!(openssl(&directory, &line).code, Some(0));
}

#[test]
fn what_cannot_be_issued_is_told() {
    let directory = authority();
    for (arguments, part) in [
        (&["issue", "--server", "not a name"][..], "--server: \"not a name\" is neither a name nor an address"),
        (&["issue", "--worker", ".x"], "--worker: "),
        (&["issue", "--worker", "a/b"], "--worker: "),
        (&["issue", "--server", "a", "--name", "../a"], "--name: "),
        (&["issue"], "required"),
        (&["issue", "--server", "a", "--worker", "b"], "cannot be used with"),
        (&["issue", "--server", "a", "--dir", "none"], "make an authority with `deltadb certs init`"),
        (&["init", "--days", "0", "--dir", "b"], "--days"),
    ] {
        let line = refused(1, certs(&directory, arguments));
        assert!(line.contains(part), "{line}");
    }
    let other = authority();
    fs::copy(other.path().join("certs/ca.key"), directory.path().join("certs/ca.key")).unwrap();
    let line = refused(1, certs(&directory, &["issue", "--server", "a"]));
    assert!(line.contains("are not an authority's certificate and its key"), "{line}");
}
