//! TLS between a main and its workers, and client certificates in the place of the join token.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use delta_server::grpc_api::delta::v1::GetEntityRequest;
use delta_server::grpc_api::delta::v1::cluster_client::ClusterClient;
use delta_server::grpc_api::delta::v1::entities_client::EntitiesClient;
use delta_server::grpc_api::deltadb::SubscribeResponse;
use delta_server::grpc_api::deltadb::main_worker_client::MainWorkerClient;
use delta_tests::cluster::{JOIN_TOKEN, Place, Worker, eventually};
use delta_tests::server::{Ended, Server};
use delta_tests::skins::grpc::with_bearer;
use delta_tests::start::{ADMIN_KEY, Finished, Start};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use tempfile::TempDir;
use time::{Duration as Days, OffsetDateTime};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};

use super::PATIENCE;
use super::enrolment::{asked, key, refused, silence};
use super::link::{ended_with, line, outside};
use crate::support::{PROGRAM, directory, skipped};

/// A directory with an authority in `certs/`, and a place for a cluster.
pub(super) struct Trust {
    directory: TempDir,
    pub(super) place: Place,
}

impl Trust {
    /// An authority, and a certificate of it for a main on this machine and for the worker `w1`.
    pub(super) fn new() -> Self {
        let directory = directory();
        let trust = Self { place: Place::new(PROGRAM, directory.path()), directory };
        trust.certs(&["init"]);
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()].into_iter();
        let names: Vec<_> = names.chain(outside().map(|ip| ip.to_string())).collect();
        trust.certs(&["issue", "--server", &names.join(",")]);
        trust.certs(&["issue", "--worker", "w1"]);
        trust
    }

    fn certs(&self, arguments: &[&str]) {
        let done = Start::bare(PROGRAM, &["certs"]).args(arguments).directory(self.directory.path()).run();
        assert_eq!(done.code, Some(0), "{done:?}");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("certs").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }

    fn with_tls(&self, start: Start) -> Start {
        start.arg("--tls-cert").arg(self.file("server.pem")).arg("--tls-key").arg(self.file("server.key"))
    }

    /// How a main is started that lets workers in by certificates, and by nothing else.
    pub(super) fn main(&self) -> Start {
        self.with_tls(self.place.main_without_token()).arg("--cluster-ca").arg(self.file("ca.pem"))
    }

    /// How a worker is started that shows this certificate to the main on this machine.
    pub(super) fn worker(&self, id: &str, main: &Server, certificate: &str) -> Start {
        let start = self.place.worker_without_token(id, &url(main.grpc_address()));
        let start = start.arg("--cluster-ca").arg(self.file("ca.pem"));
        let start = start.arg("--cluster-cert").arg(self.file(&format!("{certificate}.pem")));
        start.arg("--cluster-key").arg(self.file(&format!("{certificate}.key")))
    }

    /// A certificate that `deltadb certs` would not issue: for how long, for what, and of which authority.
    fn issue(
        &self,
        name: &str,
        worker: &str,
        ends: OffsetDateTime,
        purpose: ExtendedKeyUsagePurpose,
        authority: &Self,
    ) {
        let ca =
            Issuer::from_ca_cert_pem(&authority.read("ca.pem"), KeyPair::from_pem(&authority.read("ca.key")).unwrap());
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::DnsName(Ia5String::try_from(worker).unwrap())];
        params.extended_key_usages = vec![purpose];
        (params.not_before, params.not_after) = (OffsetDateTime::now_utc() - Days::days(1), ends);
        fs::write(self.file(&format!("{name}.pem")), params.signed_by(&key, &ca.unwrap()).unwrap().pem()).unwrap();
        fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// A connection that shows a certificate, or none.
    async fn channel(&self, main: SocketAddr, certificate: Option<&str>) -> Channel {
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.read("ca.pem")));
        if let Some(name) = certificate {
            let (cert, key) = (self.read(&format!("{name}.pem")), self.read(&format!("{name}.key")));
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        Endpoint::from_shared(url(main)).unwrap().tls_config(tls).unwrap().connect().await.unwrap()
    }

    /// A command of a client's, over TLS.
    fn client(&self, main: &Server, arguments: &[&str], input: &str) -> Finished {
        let start = Start::bare(PROGRAM, arguments).variable("DELTADB_CA_CERT", self.file("ca.pem"));
        let start = start.variable("DELTADB_URL", url(main.address())).variable("DELTADB_TOKEN", ADMIN_KEY);
        start.variable("XDG_CONFIG_HOME", self.directory.path()).input(input).run()
    }
}

fn url(address: SocketAddr) -> String {
    format!("https://{address}")
}

async fn subscribe(channel: &Channel, id: &str) -> Result<SubscribeResponse, Status> {
    Ok(MainWorkerClient::new(channel.clone()).subscribe(asked(id, &key())).await?.into_inner())
}

/// A worker that does not begin.
#[track_caller]
fn turned_away(start: &Start, main: &Server) -> Ended {
    Worker::spawn(start, main.address()).expect_err("it is refused")
}

#[test]
fn a_certificate_takes_the_place_of_the_join_token() {
    let trust = Trust::new();
    let main = trust.main().up();
    let worker = Worker::up(&trust.worker("w1", &main, "w1"), &main);
    let put = trust.client(&main, &["put", "chat", "room-1"], "{\"topic\": \"tea\"}");
    assert_eq!(put.code, Some(0), "{put:?}");
    let got = trust.client(&main, &["get", "chat", "room-1"], "");
    assert_eq!((got.code, got.stdout.trim()), (Some(0), "{\"topic\": \"tea\"}"), "{got:?}");
    let listed = trust.client(&main, &["workers"], "");
    assert!(listed.stdout.contains("w1") && listed.stdout.contains("Available"), "{listed:?}");
    assert!(worker.stop().status.success());
    assert!(main.stop().output.contains("certified=true"));
}

#[test]
fn a_certificate_that_does_not_count_ends_a_worker() {
    let (trust, other) = (Trust::new(), Trust::new());
    let main = trust.main().up();
    let (now, year) = (OffsetDateTime::now_utc(), Days::days(365));
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    trust.issue("other", "w1", now + year, client.clone(), &other);
    trust.issue("expired", "w1", now - Days::minutes(1), client.clone(), &trust);
    trust.issue("server-only", "w1", now + year, ExtendedKeyUsagePurpose::ServerAuth, &trust);
    trust.issue("wild", "*", now + year, client, &trust);
    for (certificate, why) in [
        ("other", "refused this worker's certificate (UnknownCA); check --cluster-cert"),
        ("expired", "refused this worker's certificate (CertificateExpired)"),
        ("server-only", "refused this worker's certificate ("),
    ] {
        ended_with(&turned_away(&trust.worker("w1", &main, certificate), &main), why);
    }
    for (id, certificate, why) in [
        ("w2", "w1", "the certificate is for w1 and not for w2; give that --worker-id or another certificate"),
        ("W1", "w1", "the certificate is for w1 and not for W1"),
        ("w2", "wild", "the certificate is for * and not for w2"),
        // A right join token beside it does not help.
        ("w2", "w1", "the certificate is for w1"),
    ] {
        let start = trust.worker(id, &main, certificate).arg("--join-token-file").arg(trust.place.token());
        ended_with(&turned_away(&start, &main), why);
    }
    let nothing = trust.place.worker_without_token("w1", &url(main.grpc_address()));
    let nothing =
        nothing.arg("--cluster-ca").arg(trust.file("ca.pem")).arg("--join-token-file").arg(trust.place.token());
    ended_with(&turned_away(&nothing, &main), "give both the same --join-token-file, or the worker a certificate");
    drop(Worker::up(&trust.worker("w1", &main, "w1"), &main));
}

#[test]
fn a_worker_gives_nothing_to_a_main_of_another_authority() {
    let (trust, other) = (Trust::new(), Trust::new());
    let main = trust.with_tls(trust.place.main()).up();
    let with = |ca: &Path| {
        let start = trust.place.worker_without_token("w1", &url(main.grpc_address())).arg("--cluster-ca").arg(ca);
        start.arg("--join-token-file").arg(trust.place.token())
    };
    ended_with(&turned_away(&with(&other.file("ca.pem")), &main), "its certificate is not trusted (UnknownIssuer)");
    // The join token is enough on one machine, also over TLS.
    let worker = Worker::up(&with(&trust.file("ca.pem")), &main);
    assert_eq!(trust.client(&main, &["put", "db", "k"], "1").code, Some(0));
    drop(worker);
}

#[tokio::test]
async fn a_certificate_alone_is_no_credential_of_a_client_and_clients_need_none() {
    let trust = Trust::new();
    let main = trust.main().up();
    let ask = || GetEntityRequest { database: "db".into(), key: "k".into(), ..GetEntityRequest::default() };
    for certificate in [Some("w1"), None] {
        let channel = trust.channel(main.grpc_address(), certificate).await;
        let get = |request: Request<_>| {
            let mut client = EntitiesClient::new(channel.clone());
            async move { client.get(request).await }
        };
        refused(get(Request::new(ask())).await, Code::Unauthenticated, "unauthorized");
        // There is no worker: the credential counted.
        refused(get(with_bearer(ask(), ADMIN_KEY)).await, Code::Unavailable, "no_worker");
    }
    let bare = trust.channel(main.grpc_address(), None).await;
    for bearer in [ADMIN_KEY, JOIN_TOKEN, "wrong"] {
        let asked = with_bearer(asked("w1", &key()), bearer);
        refused(MainWorkerClient::new(bare.clone()).subscribe(asked).await, Code::Unauthenticated, "unauthorized");
    }
    refused(subscribe(&bare, "w1").await, Code::Unauthenticated, "unauthorized");
}

#[tokio::test]
async fn a_token_that_was_given_to_a_certificate_counts_only_beside_it() {
    let trust = Trust::new();
    trust.certs(&["issue", "--worker", "w2"]);
    let main = trust.main().up();
    let shown = trust.channel(main.grpc_address(), Some("w1")).await;
    for (certificate, code, why) in
        [(None, Code::Unauthenticated, "unauthorized"), (Some("w2"), Code::PermissionDenied, "other_worker_id")]
    {
        let given = subscribe(&shown, "w1").await.unwrap();
        let thief = trust.channel(main.grpc_address(), certificate).await;
        refused(ClusterClient::new(thief).work(with_bearer(silence(), &given.token)).await, code, why);
    }
    let given = subscribe(&shown, "w1").await.unwrap();
    assert!(ClusterClient::new(shown.clone()).work(with_bearer(silence(), &given.token)).await.is_ok());
    refused(subscribe(&shown, "w2").await, Code::PermissionDenied, "other_worker_id");
}

#[tokio::test]
async fn a_connection_may_outlive_its_certificate_and_gets_no_keys_then() {
    let trust = Trust::new();
    let main = trust.main().up();
    let soon = OffsetDateTime::now_utc() + Days::seconds(8);
    trust.issue("short", "w1", soon, ExtendedKeyUsagePurpose::ClientAuth, &trust);
    let channel = trust.channel(main.grpc_address(), Some("short")).await;
    subscribe(&channel, "w1").await.unwrap();
    let expired = async {
        loop {
            match subscribe(&channel, "w1").await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                refusal => return refusal,
            }
        }
    };
    let refusal = tokio::time::timeout(PATIENCE, expired).await.expect("it ends");
    refused(refusal, Code::Unauthenticated, "unauthorized");
}

#[test]
fn a_worker_renews_its_token_with_the_certificate_that_is_in_its_file() {
    let trust = Trust::new();
    trust.certs(&["issue", "--worker", "w2"]);
    let main = trust.main().args(&["--worker-ttl", "12s"]).up();
    let worker = Worker::up(&trust.worker("w1", &main, "w1"), &main);
    let [mine, other] =
        ["w1", "w2"].map(|name| ["pem", "key"].map(|kind| (trust.file(&format!("{name}.{kind}")), kind)));
    for ((mine, kind), (other, _)) in mine.iter().zip(&other) {
        fs::rename(mine, mine.with_extension(format!("{kind}.kept"))).unwrap();
        fs::copy(other, mine).unwrap();
    }
    eventually("it shows what is in its file", PATIENCE, || {
        worker.output().contains("the certificate is for w2 and not for w1")
    });
    for (mine, kind) in &mine {
        fs::rename(mine.with_extension(format!("{kind}.kept")), mine).unwrap();
    }
    eventually("it is back", PATIENCE, || main.output().matches("a worker is here worker=w1").count() == 2);
}

#[test]
fn what_cannot_be_trusted_or_shown_is_told_at_the_start() {
    let trust = Trust::new();
    let bare = trust.place.main_without_token().arg("--cluster-ca").arg(trust.file("ca.pem"));
    assert!(line(&bare).contains("give --tls-cert and --tls-key"), "{}", line(&bare));
    let wrong = |file: &str| line(&trust.with_tls(trust.place.main()).arg("--cluster-ca").arg(trust.file(file)));
    assert!(wrong("none.pem").contains("cannot read --cluster-ca"), "{}", wrong("none.pem"));
    assert!(wrong("ca.key").contains("there is no certificate in"), "{}", wrong("ca.key"));
    let worker = |main: &str| trust.place.worker_without_token("w1", main);
    let with = |start: Start, flags: &[(&str, &str)]| {
        line(&flags.iter().fold(start, |start, (flag, file)| start.arg(flag).arg(trust.file(file))))
    };
    let (ca, cert, key) = (("--cluster-ca", "ca.pem"), ("--cluster-cert", "w1.pem"), ("--cluster-key", "w1.key"));
    for (main, flags, words) in [
        ("https://127.0.0.1:1", &[ca, cert][..], "--cluster-cert and --cluster-key go together"),
        ("https://127.0.0.1:1", &[cert, key], "give --cluster-ca FILE"),
        ("127.0.0.1:1", &[ca, cert, key], "write --main-addr https://127.0.0.1:1"),
        ("https://127.0.0.1:1", &[ca], "--join-token-file FILE, or --cluster-cert"),
        ("https://127.0.0.1:1", &[ca, ("--cluster-cert", "none.pem"), key], "cannot read --cluster-cert"),
        ("https://127.0.0.1:1", &[ca, cert, ("--cluster-key", "w1.pem")], "there is no private key in"),
        ("https://127.0.0.1:1", &[("--cluster-ca", "w1.key"), cert, key], "there is no certificate in"),
        ("https://192.0.2.1:1", &[ca, ("--join-token-file", "../join.token")], "keys go there over mutual TLS only"),
    ] {
        let said = with(worker(main), flags);
        assert!(said.contains(words), "{main} {flags:?}: {said}");
    }
}

#[tokio::test]
async fn from_another_machine_a_certificate_is_needed_unless_somebody_insists() {
    let Some(ip) = outside() else { return skipped("this machine has no address but the loopback") };
    for insists in [false, true] {
        let trust = Trust::new();
        let start = trust.main().arg("--join-token-file").arg(trust.place.token());
        let start = start.variable("DELTADB_GRPC_ADDR", "0.0.0.0:0");
        let main = if insists { start.arg("--insecure-cluster") } else { start }.up();
        let there = SocketAddr::from((ip, main.grpc_address().port()));
        let by_token = || with_bearer(asked("w1", &key()), JOIN_TOKEN);
        let bare = trust.channel(there, None).await;
        let given = MainWorkerClient::new(bare.clone()).subscribe(by_token()).await;
        match insists {
            false => refused(given, Code::PermissionDenied, "insecure_cluster"),
            true => assert!(given.is_ok()),
        }
        let shown = trust.channel(there, Some("w1")).await;
        let given: SubscribeResponse = subscribe(&shown, "w1").await.unwrap();
        let stream = ClusterClient::new(shown).work(with_bearer(silence(), &given.token)).await;
        assert!(stream.is_ok());
        drop(stream);
    }
}
