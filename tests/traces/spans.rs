//! Spans at a collector.

use delta_server::grpc_api::delta::v1::GetEntityRequest;
use delta_server::grpc_api::delta::v1::entities_client::EntitiesClient;
use delta_tests::http::Request;
use delta_tests::server::Server;
use delta_tests::skins::grpc::{channel, with_bearer};
use delta_tests::start::ADMIN_KEY;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::collector::Collector;
use super::{SPAN, TRACE, traceparent};
use crate::support::{directory, serve};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn number(span: &Span, attribute: &str) -> Option<i64> {
    let value = span.attributes.iter().find(|found| found.key == attribute)?.value.clone()?.value?;
    if let Value::IntValue(number) = value { Some(number) } else { None }
}

/// Stops a server without keeping the collector from its work.
async fn stop(server: Server) {
    let ended = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    assert!(ended.status.success(), "{ended:?}");
}

async fn exercise(server: &Server) {
    let put = Request::new("PUT", "/entity/marker-of-a-database/marker-of-a-key").body("{\"n\":1}");
    server.admin().send(&put.header("traceparent", &traceparent())).expect(201);
    server.admin().get("/entity/marker-of-a-database/none").expect(404);
    let mut client = EntitiesClient::new(channel(server.grpc_address()));
    let message = GetEntityRequest {
        database: "marker-of-a-database".into(),
        key: "marker-of-a-key".into(),
        ..Default::default()
    };
    client.get(with_bearer(message, ADMIN_KEY)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_each_request_and_its_storage_calls() {
    let (directory, collector) = (directory(), Collector::start());
    let server = serve(&directory).arg("--otlp-endpoint").arg(collector.url()).up();
    exercise(&server).await;
    stop(server).await;
    let spans = collector.spans();
    let named = |name: &str| {
        let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), 1, "{name}: {spans:#?}");
        found[0]
    };
    let put = named("PUT /entity/{database}/{key}");
    assert_eq!((hex(&put.trace_id), hex(&put.parent_span_id)), (TRACE.to_owned(), SPAN.to_owned()));
    assert_eq!((put.kind(), number(put, "http.response.status_code")), (SpanKind::Server, Some(201)));
    let stored = spans.iter().find(|span| span.name == "put" && span.parent_span_id == put.span_id);
    assert_eq!(stored.map(|span| hex(&span.trace_id)).as_deref(), Some(TRACE), "{spans:#?}");
    let get = named("GET /entity/{database}/{key}");
    assert_eq!((get.parent_span_id.len(), number(get, "http.response.status_code")), (0, Some(404)));
    assert_ne!(hex(&get.trace_id), TRACE);
    let call = named("/delta.v1.Entities/Get");
    assert_eq!((call.kind(), number(call, "rpc.grpc.status_code")), (SpanKind::Server, Some(0)));
    let text = collector.text();
    assert!(text.contains("\"deltadb\""), "{text}");
    for secret in ["marker-of-a", ADMIN_KEY] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_standard_variable_names_a_collector_too_and_the_log_has_the_same_trace() {
    let (directory, collector) = (directory(), Collector::start());
    let server = serve(&directory).variable("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let server = server.variable("OTEL_SERVICE_NAME", "orders-db").arg("--log-format=json").up();
    server.anonymous().bearer("a-credential-that-is-none").get("/api/me").expect(401);
    let ended = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    let line = ended.output.lines().find(|line| line.contains("a credential was refused")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let spans = collector.spans();
    let me = spans.iter().find(|span| span.name == "GET /api/me").unwrap();
    assert_eq!(line["span"]["trace_id"], hex(&me.trace_id), "{line}");
    assert!(collector.text().contains("\"orders-db\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_gone_costs_no_request() {
    let directory = directory();
    let gone = Collector::start().url();
    let server = serve(&directory).arg("--otlp-endpoint").arg(gone).up();
    exercise(&server).await;
    stop(server).await;
}
