//! Logs hold no credential and no document, however much is logged.

use delta_server::grpc_api::delta::v1 as wire;
use delta_server::grpc_api::deltadb::ProcessRequest;
use delta_tests::skins::grpc::with_bearer;
use delta_tests::start::{ADMIN_KEY, MASTER_KEY};
use tonic::{Code, Request};

use super::{Port, admin, get, put, refused};
use crate::support::{directory, serve};

const DOCUMENT: &str = "marker-of-a-document";
const WRONG_KEY: &str = "marker-of-a-wrong-credential";

/// Good and bad calls of every kind.
async fn exercise(port: &Port) {
    let process = |operation: &str, payload: String, token: &str| ProcessRequest {
        database_name: "db".into(),
        entity_key: "k".into(),
        operation: operation.into(),
        payload: payload.into(),
        token: token.into(),
        ..ProcessRequest::default()
    };
    let text = format!("\"{DOCUMENT}\"");
    port.main_worker().process(process("PUT", text.clone(), ADMIN_KEY)).await.unwrap();
    port.main_worker().process(process("GET", String::new(), ADMIN_KEY)).await.unwrap();
    refused(
        port.main_worker().process(process("PUT", format!("{text}{DOCUMENT}"), ADMIN_KEY)).await,
        Code::InvalidArgument,
        "bad_json",
    );
    refused(
        port.main_worker().process(process(DOCUMENT, text.clone(), ADMIN_KEY)).await,
        Code::InvalidArgument,
        "unknown_operation",
    );
    refused(
        port.main_worker().process(process("PUT", text.clone(), WRONG_KEY)).await,
        Code::Unauthenticated,
        "unauthorized",
    );
    port.put("k", &text).await;
    port.entities().get(admin(get("k"))).await.unwrap();
    refused(port.entities().get(with_bearer(get("k"), WRONG_KEY)).await, Code::Unauthenticated, "unauthorized");
    let mut basic = Request::new(get("k"));
    basic.metadata_mut().insert("authorization", format!("Basic {WRONG_KEY}").parse().unwrap());
    refused(port.entities().get(basic).await, Code::Unauthenticated, "unauthorized");
    let schema = |id: &str, source: String| wire::PutSchemaRequest { id: id.into(), source: source.into() };
    port.schemas().put(admin(schema("db", r#"{"type":"object"}"#.into()))).await.unwrap();
    refused(
        port.schemas().put(admin(schema("bad", format!("{{\"type\":\"{DOCUMENT}\"}}")))).await,
        Code::InvalidArgument,
        "invalid_schema",
    );
    refused(port.entities().put(admin(put("k", &text))).await, Code::InvalidArgument, "schema_violation");
    refused(port.entities().put(admin(put("k", &format!("[{text}")))).await, Code::InvalidArgument, "bad_json");
    let known = wire::GetEntityRequest { if_none_match: vec![DOCUMENT.into()], ..get("k") };
    refused(port.entities().get(admin(known)).await, Code::InvalidArgument, "invalid_etag");
}

#[tokio::test]
async fn everything_is_logged_but_secrets_and_documents() {
    let directory = directory();
    let server = serve(&directory).variable("RUST_LOG", "trace").up();
    let port = Port::of(directory, server);
    exercise(&port).await;
    let printed = port.server.stop().output;
    assert!(printed.contains("a credential was refused"), "too little was logged: {printed}");
    // What the library under it says of frames and headers is not for us to promise.
    assert!(!printed.contains("frame="), "{printed}");
    for secret in [ADMIN_KEY, MASTER_KEY, DOCUMENT, WRONG_KEY] {
        assert_eq!(printed.lines().find(|line| line.contains(secret)), None, "{secret}");
    }
}
