//! `https`: a server whose certificate a private authority issued.

use std::os::unix::fs::PermissionsExt;

use delta_tests::server::Server;
use delta_tests::start::{ADMIN_KEY, Start};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::support::{PROGRAM, directory, serve};

use super::{printed, refused};

/// An authority that a test makes for itself.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Starts a server with a certificate for this name.
    fn serve(&self, directory: &TempDir, name: &str) -> Server {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let [cert_file, key_file] = ["cert.pem", "key.pem"].map(|file| directory.path().join(file));
        std::fs::write(&cert_file, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(directory.path().join("ca.pem"), &self.pem).unwrap();
        serve(directory).arg("--tls-cert").arg(cert_file).arg("--tls-key").arg(key_file).up()
    }
}

/// A client command beside a test's server.
fn command(directory: &TempDir, server: &Server, arguments: &[&str]) -> Start {
    let start = Start::bare(PROGRAM, arguments).directory(directory.path()).variable("DELTADB_TOKEN", ADMIN_KEY);
    let start = start.variable("XDG_CONFIG_HOME", directory.path().join("config"));
    start.variable("DELTADB_URL", format!("https://{}", server.address()))
}

#[test]
fn a_private_authority_is_trusted_when_it_is_named() {
    let directory = directory();
    let server = Authority::new().serve(&directory, "127.0.0.1");
    let run = |arguments: &[&str]| command(&directory, &server, arguments);
    assert!(printed(run(&["put", "chat", "k", "--ca-cert", "ca.pem"]).input("1").run()).starts_with("created chat/k"));
    assert_eq!(printed(run(&["get", "chat", "k"]).variable("DELTADB_CA_CERT", "ca.pem").run()), "1");
    let login = run(&["login", "--ca-cert", "ca.pem"]).without("DELTADB_TOKEN").input(ADMIN_KEY).run();
    assert!(printed(login).starts_with("logged in to https://127.0.0.1:"));
    printed(run(&["me", "--ca-cert", "ca.pem"]).without("DELTADB_TOKEN").run());
}

#[test]
fn nobody_else_is_trusted() {
    let directory = directory();
    let server = Authority::new().serve(&directory, "127.0.0.1");
    std::fs::write(directory.path().join("other.pem"), Authority::new().pem).unwrap();
    for arguments in [&["me"][..], &["me", "--ca-cert", "other.pem"]] {
        let line = refused(1, command(&directory, &server, arguments).run());
        assert!(line.contains("is not trusted: ") && line.ends_with("name that with --ca-cert FILE"), "{line}");
    }
    let directory = crate::support::directory();
    let elsewhere = Authority::new().serve(&directory, "db.example");
    let line = refused(1, command(&directory, &elsewhere, &["me", "--ca-cert", "ca.pem"]).run());
    assert!(line.contains("is not trusted: ") && line.contains("db.example"), "{line}");
}

#[test]
fn what_is_no_certificate_is_named() {
    let directory = directory();
    let server = Authority::new().serve(&directory, "127.0.0.1");
    std::fs::write(directory.path().join("empty.pem"), "nothing\n").unwrap();
    let run = |file: &str| refused(1, command(&directory, &server, &["me", "--ca-cert", file]).run());
    assert_eq!(run("empty.pem"), "empty.pem holds no PEM certificate (--ca-cert)");
    assert!(run("none.pem").starts_with("cannot read none.pem (--ca-cert)"));
}

#[test]
fn http_where_https_is_served_is_told() {
    let directory = directory();
    let server = Authority::new().serve(&directory, "127.0.0.1");
    let plain = command(&directory, &server, &["me"]).variable("DELTADB_URL", format!("http://{}", server.address()));
    let line = refused(6, plain.run());
    assert!(line.contains("https"), "{line}");
}
