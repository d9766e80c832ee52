//! `deltadb.MainWorker`: field numbers, words and statuses that the first clients rely on.

use delta_server::grpc_api::deltadb::{ProcessRequest, ProcessResponse, SubscribeRequest};
use delta_tests::staffed;
use delta_tests::start::ADMIN_KEY;
use prost::Message;
use tonic::{Code, Request};

use super::{Port, admin, refused, services};
use crate::support::skipped;

fn asked(operation: &str, payload: &str) -> ProcessRequest {
    ProcessRequest {
        database_name: "db".into(),
        entity_key: "k".into(),
        operation: operation.into(),
        payload: payload.to_owned().into(),
        ..ProcessRequest::default()
    }
}

async fn process(port: &Port, request: ProcessRequest) -> ProcessResponse {
    let answer = port.main_worker().process(admin(request)).await.unwrap().into_inner();
    assert_eq!((answer.status.as_str(), answer.error.as_str()), ("OK", ""));
    answer
}

/// Fields of one length-delimited kind are in the bytes as number, length, content.
#[test]
fn the_fields_have_their_numbers() {
    let request = ProcessRequest {
        database_name: "a".into(),
        entity_key: "b".into(),
        schema_id: "c".into(),
        operation: "d".into(),
        payload: "e".into(),
        token: "f".into(),
    };
    assert_eq!(request.encode_to_vec(), b"\x0a\x01a\x12\x01b\x1a\x01c\x22\x01d\x2a\x01e\x32\x01f");
    let answer = ProcessResponse { status: "a".into(), result: "b".into(), version: "c".into(), error: "d".into() };
    assert_eq!(answer.encode_to_vec(), b"\x0a\x01a\x12\x01b\x1a\x01c\x22\x01d");
    let (_, service) = services().iter().find(|(name, _)| name == "deltadb.MainWorker").unwrap();
    let methods: Vec<_> = service.method.iter().map(|method| method.name()).collect();
    assert_eq!(methods, ["Subscribe", "Process"]);
}

#[tokio::test]
async fn an_entity_is_put_got_and_deleted() {
    let port = Port::open();
    let document = "{ \"b\":1.0,\"a\":123456789012345678901234567890 }";
    for version in ["1", "2"] {
        let answer = process(&port, asked("PUT", document)).await;
        assert_eq!((answer.version.as_str(), answer.result.len()), (version, 0));
    }
    let answer = process(&port, asked("GET", "")).await;
    assert_eq!((answer.version.as_str(), &answer.result[..]), ("2", document.as_bytes()));
    // What one skin wrote, the other reads.
    assert_eq!(port.server.admin().get("/entity/db/k").expect(200).text(), document);
    for _ in 0..2 {
        process(&port, asked("DELETE", "")).await;
    }
    refused(port.main_worker().process(admin(asked("GET", ""))).await, Code::NotFound, "not_found");
}

#[tokio::test]
async fn a_schema_is_put_applied_got_and_deleted() {
    let port = Port::open();
    let schema = |operation: &str, text: &str| ProcessRequest { schema_id: "s.v1".into(), ..asked(operation, text) };
    let text = r#"{"type":"object","required":["n"]}"#;
    assert_eq!(process(&port, schema("SCHEMA_PUT", text)).await.version, "1");
    let answer = port.main_worker().process(schema("SCHEMA_GET", "")).await.unwrap().into_inner();
    assert_eq!((answer.version.as_str(), &answer.result[..]), ("1", text.as_bytes()));
    refused(port.main_worker().process(admin(schema("PUT", "{}"))).await, Code::InvalidArgument, "schema_violation");
    process(&port, schema("PUT", r#"{"n":1}"#)).await;
    process(&port, schema("SCHEMA_DELETE", "")).await;
    refused(port.main_worker().process(schema("SCHEMA_GET", "")).await, Code::NotFound, "not_found");
    let bad = schema("SCHEMA_PUT", r#"{"type":"nothing"}"#);
    refused(port.main_worker().process(admin(bad)).await, Code::InvalidArgument, "invalid_schema");
}

#[tokio::test]
async fn the_token_counts_where_the_metadata_has_none() {
    let port = Port::open();
    let with = |token: &str| ProcessRequest { token: token.into(), ..asked("PUT", "1") };
    refused(port.main_worker().process(with("")).await, Code::Unauthenticated, "unauthorized");
    refused(port.main_worker().process(with("wrong")).await, Code::Unauthenticated, "unauthorized");
    port.main_worker().process(with(ADMIN_KEY)).await.unwrap();
    port.main_worker().process(admin(with("wrong"))).await.unwrap();
    let mut wrong = Request::new(with(ADMIN_KEY));
    wrong.metadata_mut().insert("authorization", "Bearer wrong".parse().unwrap());
    refused(port.main_worker().process(wrong).await, Code::Unauthenticated, "unauthorized");
}

#[tokio::test]
async fn an_unknown_operation_is_refused_and_names_those_that_there_are() {
    let port = Port::open();
    for operation in ["", "get", "LIST", "PUT "] {
        let refusal = port.main_worker().process(admin(asked(operation, "1"))).await;
        let message = refused(refusal, Code::InvalidArgument, "unknown_operation");
        assert!(message.contains("SCHEMA_DELETE"), "{message}");
    }
}

#[tokio::test]
async fn there_is_no_cluster_to_subscribe_to() {
    if staffed::is_asked_for() {
        return skipped("a main has one");
    }
    let port = Port::open();
    let worker = || SubscribeRequest { worker_id: "w".into(), ..SubscribeRequest::default() };
    refused(port.main_worker().subscribe(worker()).await, Code::Unauthenticated, "unauthorized");
    refused(port.main_worker().subscribe(admin(worker())).await, Code::FailedPrecondition, "no_cluster");
}
