//! What a main keeps waiting for a worker is bounded, and nobody waits longer than the request may take.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use delta_server::grpc_api::delta::v1::{Task, ToWorker, to_worker};
use delta_tests::cluster::{JOIN_TOKEN, eventually};
use delta_tests::http::{Request, connect};
use delta_tests::skins::grpc::channel;
use delta_tests::start::ADMIN_KEY;
use futures::StreamExt;
use tonic::Streaming;

use super::enrolment::{asked, beats, key, subscribe, work};
use super::{Cluster, PATIENCE};
use crate::support::{may_open, problem, skipped};

/// How many tasks a worker may have at a time.
const TASKS_MAX: u64 = 1_024;

/// A worker that lives and answers nothing.
async fn idler(cluster: &Cluster) -> Streaming<ToWorker> {
    let channel = channel(cluster.main.grpc_address());
    let given = subscribe(&channel, asked("idler", &key()), Some(JOIN_TOKEN)).await.unwrap();
    work(&channel, beats().boxed(), Some(&given.token)).await.unwrap()
}

async fn next(tasks: &mut Streaming<ToWorker>) -> Task {
    loop {
        let frame = tasks.message().await.unwrap().expect("the stream goes on");
        if let Some(to_worker::Frame::Task(task)) = frame.frame {
            return task;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_has_so_many_tasks_and_who_comes_then_is_told_to_come_again() {
    if !may_open(4_096) {
        return skipped("this process may not open 4096 files; raise `ulimit -Hn`");
    }
    let cluster = Cluster::with(0, &["--request-deadline", "5m", "--connections-per-address-max", "2000"]);
    let mut tasks = idler(&cluster).await;
    let drained = tokio::spawn(async move { while tasks.message().await.is_ok_and(|frame| frame.is_some()) {} });
    tokio::task::block_in_place(|| {
        let ask = |_| -> TcpStream {
            let mut stream = connect(cluster.main.address()).unwrap();
            let line = format!("GET /entity/db/k HTTP/1.1\r\nHost: main\r\nAuthorization: Bearer {ADMIN_KEY}\r\n\r\n");
            stream.write_all(line.as_bytes()).unwrap();
            stream
        };
        let mut waiting: Vec<TcpStream> = (0..TASKS_MAX).map(ask).collect();
        let active = || cluster.main.admin().get("/admin/workers").expect(200).json()[0]["active_requests"].as_u64();
        eventually("the worker has all it may", PATIENCE, || active() == Some(TASKS_MAX));
        for request in [Request::new("GET", "/entity/db/k"), Request::new("PUT", "/entity/db/k").body("1")] {
            let refused = cluster.main.admin().send(&request);
            problem(&refused, 503, "busy");
            assert!(refused.header("retry-after").is_some(), "{refused:?}");
        }
        assert_eq!(active(), Some(TASKS_MAX));
        // A client that goes away makes room for the next one.
        waiting.truncate(1_000);
        eventually("places are free again", PATIENCE, || active() == Some(1_000));
        waiting.push(ask(0));
        eventually("one is taken", PATIENCE, || active() == Some(1_001));
    });
    drained.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_says_how_long_somebody_waits_for_it_and_nobody_waits_longer() {
    let cluster = Cluster::with(0, &["--request-deadline", "2s"]);
    let mut tasks = idler(&cluster).await;
    for (request, code) in [
        (Request::new("GET", "/entity/db/k"), "unavailable"),
        (Request::new("PUT", "/entity/db/k").body("1"), "outcome_unknown"),
    ] {
        let mut client = cluster.main.admin();
        let asked = Instant::now();
        let answered = tokio::task::spawn_blocking(move || (client.send(&request), asked.elapsed()));
        let task = next(&mut tasks).await;
        let waited = asked.elapsed();
        let most = Duration::from_millis(task.timeout_ms.into());
        assert!(most < Duration::from_secs(2) && most + waited > Duration::from_millis(1_700), "{most:?} {waited:?}");
        let (answer, took) = answered.await.unwrap();
        problem(&answer, 503, code);
        assert!(took >= most, "{took:?} {most:?}");
    }
}
