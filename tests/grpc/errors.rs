//! Refusals: the codes of gRPC, the stable codes, limits and deadlines.

use std::time::Duration;

use delta_server::grpc_api::delta::v1 as wire;
use delta_server::grpc_api::delta::v1::precondition::{Condition, ETags};
use delta_tests::skins::grpc::error;
use tonic::Code;

use super::{Port, admin, get, put, refused};
use crate::support::{directory, serve};

#[tokio::test]
async fn names_and_documents_have_the_limits_of_rest() {
    let port = Port::open();
    let long = "k".repeat(513);
    for (key, document, code) in [
        ("", "1", "invalid_key"),
        ("a/b", "1", "invalid_key"),
        ("..", "1", "invalid_key"),
        (long.as_str(), "1", "invalid_key"),
        ("k", "", "bad_json"),
        ("k", "{\"a\":1,\"a\":2}", "bad_json"),
        ("k", "NaN", "bad_json"),
        ("k", "\"\\ud800\"", "bad_json"),
        ("k", "1 2", "bad_json"),
    ] {
        refused(port.entities().put(admin(put(key, document))).await, Code::InvalidArgument, code);
    }
    let deep = |levels: usize| put("k", &format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
    port.entities().put(admin(deep(128))).await.unwrap();
    refused(port.entities().put(admin(deep(129))).await, Code::InvalidArgument, "bad_json");
    let other = wire::GetEntityRequest { database: ".hidden".into(), ..get("k") };
    refused(port.entities().get(admin(other)).await, Code::InvalidArgument, "invalid_database");
    refused(port.entities().get(admin(get("none"))).await, Code::NotFound, "not_found");
}

#[tokio::test]
async fn a_message_may_have_exactly_as_many_bytes_as_the_limit() {
    let directory = directory();
    let server = serve(&directory).arg("--grpc-max-recv-msg-size=1000").up();
    let port = Port::of(directory, server);
    let sized = |bytes: usize| {
        let overhead = prost::Message::encoded_len(&put("k", "\"\"")) + 1;
        put("k", &format!("\"{}\"", "x".repeat(bytes - overhead)))
    };
    assert_eq!(prost::Message::encoded_len(&sized(1000)), 1000);
    port.entities().put(admin(sized(1000))).await.unwrap();
    let message = refused(port.entities().put(admin(sized(1001))).await, Code::OutOfRange, "too_large");
    assert!(message.contains("grpc_max_recv_msg_size"), "{message}");
}

#[tokio::test]
async fn a_message_has_four_mebibytes_where_nothing_is_configured() {
    let port = Port::open();
    let sized = |bytes: usize| put("k", &format!("\"{}\"", "x".repeat(bytes)));
    port.entities().put(admin(sized((4 << 20) - 100))).await.unwrap();
    refused(port.entities().put(admin(sized(4 << 20))).await, Code::OutOfRange, "too_large");
}

#[tokio::test]
async fn every_violation_of_a_schema_is_told() {
    let port = Port::open();
    let schema = r#"{"type":"object","required":["n"],"properties":{"a":{"type":"string"}}}"#;
    let schema = wire::PutSchemaRequest { id: "db".into(), source: schema.into() };
    port.schemas().put(admin(schema)).await.unwrap();
    let refusal = port.entities().put(admin(put("k", r#"{"a":1}"#))).await.err().unwrap();
    let told = error(&refusal);
    assert_eq!((refusal.code(), told.code()), (Code::InvalidArgument, "schema_violation"));
    let mut keywords: Vec<_> =
        told.violations().iter().map(|one| (one.pointer.as_str(), one.keyword.as_str())).collect();
    keywords.sort_unstable();
    assert_eq!(keywords, [("", "required"), ("/a", "type")]);
}

#[tokio::test]
async fn a_precondition_holds_or_the_write_is_refused() {
    let port = Port::open();
    let when =
        |condition| wire::PutEntityRequest { precondition: Some(wire::Precondition { condition }), ..put("k", "1") };
    let matches = |etags: &[&str]| {
        let etags = etags.iter().map(|etag| (*etag).to_owned()).collect();
        Some(Condition::IfMatch(ETags { etags }))
    };
    let mut entities = port.entities();
    refused(
        entities.put(admin(when(Some(Condition::IfExists(()))))).await,
        Code::FailedPrecondition,
        "precondition_failed",
    );
    let first = entities.put(admin(when(Some(Condition::IfAbsent(()))))).await.unwrap().into_inner();
    assert!(first.created);
    refused(
        entities.put(admin(when(Some(Condition::IfAbsent(()))))).await,
        Code::FailedPrecondition,
        "precondition_failed",
    );
    let etag = first.version.unwrap().etag;
    let second = entities.put(admin(when(matches(&["\"9-0011223344556677\"", &etag])))).await.unwrap().into_inner();
    assert_eq!((second.created, second.version.unwrap().number), (false, 2));
    refused(entities.put(admin(when(matches(&[&etag])))).await, Code::FailedPrecondition, "precondition_failed");
    // One that says nothing may come from a newer client, and must not be ignored.
    for nothing in [None, matches(&[])] {
        refused(entities.put(admin(when(nothing))).await, Code::InvalidArgument, "invalid_precondition");
    }
    refused(entities.put(admin(when(matches(&["3"])))).await, Code::InvalidArgument, "invalid_etag");
}

#[tokio::test]
async fn a_deadline_is_understood() {
    let port = Port::open();
    let mut wrong = admin(get("k"));
    wrong.metadata_mut().insert("grpc-timeout", "soon".parse().unwrap());
    refused(port.entities().get(wrong).await, Code::InvalidArgument, "invalid_timeout");
    let mut long = admin(put("k", "2"));
    long.set_timeout(Duration::from_secs(100));
    port.entities().put(long).await.unwrap();
    assert_eq!(&port.entities().get(admin(get("k"))).await.unwrap().into_inner().document[..], b"2");
}
