//! Starting a main and a worker: what is refused before anything is said, and how development finds itself.

use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;

use delta_server::grpc_api::deltadb::SubscribeRequest;
use delta_server::grpc_api::deltadb::main_worker_client::MainWorkerClient;
use delta_tests::cluster::{JOIN_TOKEN, Place, Worker};
use delta_tests::server::Ended;
use delta_tests::skins::grpc::{channel, error, with_bearer};
use delta_tests::start::{ADMIN_KEY, Start};
use tonic::Code;

use super::Cluster;
use crate::support::{PROGRAM, directory, serve, skipped};

/// The line that a process ended with.
#[track_caller]
pub(super) fn line(start: &Start) -> String {
    let finished = start.run();
    assert_eq!(finished.code, Some(1), "{finished:?}");
    finished.stderr.lines().last().unwrap_or_default().to_owned()
}

#[track_caller]
pub(super) fn ended_with(ended: &Ended, words: &str) {
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let line = ended.output.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(line.contains(words), "{ended:?}");
}

#[test]
fn a_main_has_workers_only_by_a_token_that_nobody_guesses() {
    let directory = directory();
    let place = Place::new(PROGRAM, directory.path());
    let without = Start::serve(PROGRAM, &directory.path().join("main"));
    let without = without.line(PROGRAM, &["main", "--shared-fs", place.store().to_str().unwrap()]);
    let server = without.up();
    server.admin().put("/entity/db/k", "1").expect(201);
    assert!(server.kill().output.contains("for workers give --shared-fs and --join-token-file"));
    let with = |token: &str| {
        std::fs::write(place.token(), token).unwrap();
        line(&place.main())
    };
    assert!(with("short").contains("shorter than 16 bytes"));
    assert!(with("").contains("empty"));
    assert!(with(ADMIN_KEY).contains("the join token is the admin key"));
}

#[test]
fn a_worker_says_what_it_needs() {
    let directory = directory();
    let place = Place::new(PROGRAM, directory.path());
    let here = "127.0.0.1:1".parse().unwrap();
    let worker = Start::bare(PROGRAM, &["worker"]).directory(directory.path());
    assert!(line(&worker).contains("--join-token-file"));
    let there = place.worker("w", "192.0.2.1:50051".parse().unwrap());
    assert!(line(&there).contains("--insecure-cluster"), "{}", line(&there));
    let alone = place.worker("w", here).line(PROGRAM, &["worker", "--storage", "embedded", "--join-token-file"]);
    let alone = alone.arg(place.token()).directory(directory.path());
    assert!(line(&alone).contains("--shared-fs"), "{}", line(&alone));
}

#[test]
fn a_wrong_join_token_ends_a_worker_and_so_does_another_store() {
    let cluster = Cluster::of(0);
    let wrong = cluster.place.token().with_extension("wrong");
    std::fs::write(&wrong, "another-token-of-the-tests\n").unwrap();
    drop(Worker::up(&cluster.place.worker("w", cluster.main.grpc_address()), &cluster.main));
    let as_told = |store: &std::path::Path, token: &std::path::Path| {
        let main = cluster.main.grpc_address().to_string();
        let start = Start::bare(PROGRAM, &["worker", "--worker-id", "w", "--main-addr", &main]);
        let start = start.arg("--shared-fs").arg(store).arg("--join-token-file").arg(token);
        Worker::spawn(&start, cluster.main.address()).expect_err("it is refused")
    };
    ended_with(&as_told(&cluster.place.store(), &wrong), "give both the same --join-token-file");
    let other = directory();
    ended_with(&as_told(&other.path().join("none"), &cluster.place.token()), "another store");
    let store = other.path().join("db");
    serve(&other).variable("MASTER_KEY", "ab".repeat(32)).arg("--shared-fs").arg(&store).up().stop();
    ended_with(&as_told(&store, &cluster.place.token()), "another store");
    // The same key, and another store all the same.
    let store = other.path().join("same-key");
    serve(&other).arg("--shared-fs").arg(&store).up().stop();
    ended_with(&as_told(&store, &cluster.place.token()), "another store");
}

#[test]
fn a_server_that_does_the_work_itself_has_no_workers() {
    let directory = directory();
    let server = serve(&directory).up();
    let place = Place::new(PROGRAM, directory.path());
    std::fs::create_dir_all(place.store()).unwrap();
    let worker = Worker::spawn(&place.worker("w", server.grpc_address()), server.address());
    let ended = worker.expect_err("there is no cluster");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
}

#[test]
fn a_second_main_is_refused_and_told_the_flag_and_with_it_both_serve() {
    let cluster = Cluster::of(1);
    let second = |start: Start| start.variable("DELTADB_DATA_DIR", cluster.place.store().with_extension("second"));
    let refused = second(cluster.place.main()).try_up().expect_err("there is a main");
    assert!(refused.output.contains("--multi-main"), "{refused:?}");
    let alone =
        serve(&directory()).arg("--shared-fs").arg(cluster.place.store()).try_up().expect_err("it is not alone");
    assert!(alone.output.contains("--multi-main"), "{alone:?}");
    drop(cluster);
    let mut cluster = Cluster::with(0, &["--multi-main"]);
    let start = cluster.place.main().arg("--multi-main");
    let other = start.variable("DELTADB_DATA_DIR", cluster.place.store().with_extension("second")).up();
    cluster.hire("w1");
    let worker = Worker::up(&cluster.place.worker("w2", other.grpc_address()), &other);
    cluster.main.admin().put("/entity/db/k", "1").expect(201);
    assert_eq!(other.admin().get("/entity/db/k").expect(200).text(), "1");
    other.admin().put("/entity/db/k", "2").expect(200);
    assert_eq!(cluster.main.admin().get("/entity/db/k").expect(200).text(), "2");
    drop((worker, other));
}

#[test]
fn development_needs_no_token_file() {
    let (directory, state) = (directory(), directory());
    let store = directory.path().join("db");
    let data = directory.path().join("main");
    let main = Start::dev(PROGRAM, &data).line(PROGRAM, &["main", "--dev"]).arg("--shared-fs").arg(&store);
    let main = main.variable("XDG_STATE_HOME", state.path()).up();
    let file = state.path().join("deltadb").join(format!("join-{}", main.grpc_address().port()));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    let address = main.grpc_address().to_string();
    let worker = Start::bare(PROGRAM, &["worker", "--dev", "--worker-id", "w", "--main-addr", &address]);
    let worker = worker.arg("--shared-fs").arg(&store).variable("XDG_STATE_HOME", state.path());
    let worker = Worker::up(&worker, &main);
    let key = std::fs::read_to_string(data.join("dev-admin.key")).unwrap();
    main.anonymous().bearer(key.trim()).put("/entity/db/k", "1").expect(201);
    drop(worker);
}

/// An address of this machine that is not the loopback, if it has one.
pub(super) fn outside() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the kernel only says by which address it would be.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[tokio::test]
async fn a_worker_of_another_machine_needs_tls_unless_somebody_insists() {
    let Some(ip) = outside() else { return skipped("this machine has no address but the loopback") };
    for (arguments, code) in [(&[][..], Code::PermissionDenied), (&["--insecure-cluster"][..], Code::InvalidArgument)] {
        let directory = directory();
        let place = Place::new(PROGRAM, directory.path());
        let main = place.main().variable("DELTADB_GRPC_ADDR", "0.0.0.0:0").args(arguments).up();
        let from = channel((ip, main.grpc_address().port()).into());
        let asked = SubscribeRequest { worker_id: "w".into(), ..SubscribeRequest::default() };
        let refused = MainWorkerClient::new(from).subscribe(with_bearer(asked, JOIN_TOKEN)).await.err().unwrap();
        assert_eq!(refused.code(), code, "{refused:?}");
        let why = if code == Code::PermissionDenied { "insecure_cluster" } else { "invalid_pubkey" };
        assert_eq!(error(&refused).code(), why);
    }
}
