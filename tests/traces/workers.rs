//! A request that a worker does: the trace goes with it.

use delta_tests::cluster::{Place, Worker};
use delta_tests::http::Request;
use delta_tests::server::Server;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;

use super::collector::Collector;
use super::{TRACE, traceparent};
use crate::support::{PROGRAM, directory};

fn put(main: &Server, key: &str, traceparent: &str) {
    let put = Request::new("PUT", &format!("/entity/db/{key}")).body("{\"n\":1}");
    main.admin().send(&put.header("traceparent", traceparent)).expect(201);
}

/// The lines in JSON that are about a task.
fn tasks(output: &str) -> Vec<Value> {
    let lines = output.lines().filter(|line| line.contains("a task was done"));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_trace_of_the_clients_is_in_the_lines_of_the_worker() {
    let directory = directory();
    let place = Place::new(PROGRAM, directory.path());
    let main = place.main().up();
    let worker = Worker::up(&place.worker("w", main.grpc_address()).arg("--log-format=json"), &main);
    put(&main, "k", &traceparent());
    let read = Request::new("GET", "/entity/db/k").header("traceparent", &traceparent().replace("4bf9", "aaaa"));
    main.admin().send(&read).expect(200);
    main.admin().get("/entity/db/k").expect(200);
    main.stop();
    let lines = tasks(&worker.stop().output);
    let [put, read, other] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&put["span"]["trace_id"], &put["fields"]["task"]), (&TRACE.into(), &"put".into()), "{put}");
    assert_eq!(read["span"]["trace_id"], TRACE.replace("4bf9", "aaaa"), "{read}");
    // Main logs all it can, so whatever it is asked for has a trace.
    let id = other["span"]["trace_id"].as_str().unwrap();
    assert!(id.len() == 32 && id != TRACE, "{other}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_the_task_and_the_workers_storage_calls() {
    let (directory, collector) = (directory(), Collector::start());
    let place = Place::new(PROGRAM, directory.path());
    let main = place.main().arg("--otlp-endpoint").arg(collector.url()).up();
    let start = place.worker("w", main.grpc_address()).arg("--otlp-endpoint").arg(collector.url());
    let worker = Worker::up(&start, &main);
    put(&main, "k", &traceparent());
    tokio::task::spawn_blocking(|| (main.stop(), worker.stop())).await.unwrap();
    let spans = collector.spans();
    let of_trace = |name: &str| -> Vec<&Span> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        spans.iter().filter(|span| span.name == name && hex(&span.trace_id) == TRACE).collect()
    };
    let [request] = of_trace("PUT /entity/{database}/{key}")[..] else { panic!("{spans:#?}") };
    let [task] = of_trace("task put")[..] else { panic!("{spans:#?}") };
    assert_eq!(task.parent_span_id, request.span_id, "{spans:#?}");
    assert!(of_trace("put").iter().any(|call| call.parent_span_id == task.span_id), "{spans:#?}");
}

#[test]
fn what_fails_at_a_worker_is_found_by_the_id_that_the_client_was_told() {
    let directory = directory();
    let place = Place::new(PROGRAM, directory.path());
    let quiet = |start: delta_tests::start::Start| start.variable("RUST_LOG", "warn,delta_server=info");
    let main = quiet(place.main()).up();
    let worker = Worker::up(&place.worker("w", main.grpc_address()), &main);
    main.admin().put("/entity/db/k", "1").expect(201);
    worker.kill();
    super::lines::damage(&place.store().join("files"));
    let worker = Worker::up(&place.worker("w", main.grpc_address()), &main);
    let problem = main.admin().get("/entity/db/k").expect(500).json();
    assert!(!problem["detail"].as_str().unwrap().contains("trace"), "{problem}");
    let id = problem["instance"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let (of_main, of_worker) = (main.stop().output, worker.stop().output);
    let line = of_main.lines().find(|line| line.contains(&id)).unwrap();
    let trace = line.split_once("(trace ").map(|(_, rest)| rest[..32].to_owned()).unwrap();
    assert!(of_worker.lines().any(|line| line.contains(&trace) && line.contains("a task failed")), "{of_worker}");
}
