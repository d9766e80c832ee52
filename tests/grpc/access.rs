//! Who may call, decided before a message is read.

use std::time::{Duration, Instant};

use delta_server::grpc_api::delta::v1 as wire;
use delta_tests::skins::grpc::with_bearer;
use delta_tests::start::ADMIN_KEY;
use futures::StreamExt;
use http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::{Port, admin, get, put, refused, services};
use crate::support::{dev, directory};

/// Whoever watches must not use up the ten seconds that requests in flight have.
const DRAIN_MAX: Duration = Duration::from_secs(8);
/// Methods that need no credential in the metadata.
const OPEN: [&str; 3] = ["/delta.v1.Schemas/List", "/delta.v1.Schemas/Get", "/deltadb.MainWorker/Process"];

/// Calls a method with a message of another one, whose third field has another type than any of theirs.
async fn call(port: &Port, path: &str, request: Request<wire::ListKeysRequest>) -> Result<Response<()>, Status> {
    let mut client = tonic::client::Grpc::new(port.channel.clone());
    client.ready().await.unwrap();
    let codec = ProstCodec::<wire::ListKeysRequest, ()>::default();
    client.unary(request, PathAndQuery::try_from(path).unwrap(), codec).await
}

fn misfit() -> wire::ListKeysRequest {
    wire::ListKeysRequest { page_size: 1, metadata: true, database: "db".into(), ..wire::ListKeysRequest::default() }
}

#[tokio::test]
async fn a_credential_is_asked_for_before_a_message_is_read() {
    let port = Port::open();
    let mut seen = 0;
    for (name, service) in services() {
        for method in &service.method {
            let path = format!("/{name}/{}", method.name());
            seen += 1;
            if OPEN.contains(&path.as_str()) {
                continue;
            }
            refused(call(&port, &path, Request::new(misfit())).await, Code::Unauthenticated, "unauthorized");
            refused(call(&port, &path, with_bearer(misfit(), "wrong")).await, Code::Unauthenticated, "unauthorized");
        }
    }
    assert_eq!(seen, 19);
    let misread = call(&port, "/delta.v1.Entities/Put", admin(misfit())).await;
    refused(misread, Code::InvalidArgument, "bad_message");
}

#[tokio::test]
async fn a_credential_that_does_not_count_is_unauthenticated() {
    let port = Port::open();
    for value in ["", "Bearer", "Bearer ", "Basic YTpi", "garbage", "Bearer a b", "Bearer ds_e30.AA", "Bearer dk_1_2"] {
        let mut request = Request::new(get("k"));
        request.metadata_mut().insert("authorization", value.parse().unwrap());
        let message = refused(port.entities().get(request).await, Code::Unauthenticated, "unauthorized");
        assert!(!message.contains("garbage") && !message.contains("ds_e30"), "{message}");
    }
    let mut opaque = Request::new(get("k"));
    let value = MetadataValue::try_from(&b"Bearer \xff\xfe"[..]).unwrap();
    opaque.metadata_mut().insert("authorization", value);
    refused(port.entities().get(opaque).await, Code::Unauthenticated, "unauthorized");
    let mut twice = admin(get("k"));
    twice.metadata_mut().append("authorization", format!("Bearer {ADMIN_KEY}").parse().unwrap());
    refused(port.entities().get(twice).await, Code::Unauthenticated, "unauthorized");
    let mut lower = Request::new(get("k"));
    lower.metadata_mut().insert("authorization", format!("bearer {ADMIN_KEY}").parse().unwrap());
    refused(port.entities().get(lower).await, Code::NotFound, "not_found");
}

#[tokio::test]
async fn a_session_counts_and_what_it_does_not_allow_is_denied() {
    let directory = directory();
    let server = dev(&directory).up();
    let login = server.anonymous().post("/api/login", r#"{"client_id":"app"}"#).expect(200).json();
    let port = Port::of(directory, server);
    let token = login["token"].as_str().unwrap();
    port.entities().put(with_bearer(put("k", "1"), token)).await.unwrap();
    assert_eq!(&port.entities().get(with_bearer(get("k"), token)).await.unwrap().into_inner().document[..], b"1");
    let settings = Some(wire::Settings::default());
    let set = wire::SetDatabaseRequest { database: "db".into(), settings };
    refused(port.databases().set(with_bearer(set, token)).await, Code::PermissionDenied, "forbidden");
    let drop = wire::DropDatabaseRequest { database: "db".into() };
    refused(port.databases().drop(with_bearer(drop, token)).await, Code::PermissionDenied, "forbidden");
}

#[tokio::test]
async fn health_is_told_to_everybody_and_ends_with_the_server() {
    let port = Port::open();
    let mut health = HealthClient::new(port.channel.clone());
    let named = |service: &str| HealthCheckRequest { service: service.into() };
    for service in services().iter().map(|(name, _)| name.as_str()).chain([""]) {
        assert_eq!(health.check(named(service)).await.unwrap().into_inner().status, 1, "{service}");
    }
    assert_eq!(health.check(named("none")).await.unwrap_err().code(), Code::NotFound);
    let mut watching = health.watch(named("")).await.unwrap().into_inner();
    assert_eq!(watching.message().await.unwrap().unwrap().status, 1);
    let begun = Instant::now();
    port.server.terminate();
    assert_eq!(watching.message().await.unwrap().unwrap().status, 2);
    assert!(watching.message().await.unwrap().is_none());
    assert!(port.server.ended().status.success());
    assert!(begun.elapsed() < DRAIN_MAX, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_stream_that_a_client_leaves_open_ends_with_the_server() {
    let port = Port::open();
    let mut reflection = ServerReflectionClient::new(port.channel.clone());
    let list = || ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let asked = futures::stream::iter([list()]).chain(futures::stream::pending());
    let mut answers = reflection.server_reflection_info(asked).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(listed)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("not a list")
    };
    let named = |name: &String| listed.service.iter().any(|service| service.name == *name);
    assert!(services().iter().all(|(name, _)| named(name)));
    let begun = Instant::now();
    port.server.terminate();
    assert!(answers.message().await.unwrap().is_none());
    assert!(port.server.ended().status.success());
    assert!(begun.elapsed() < DRAIN_MAX, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_is_no_call_is_refused() {
    let port = Port::open();
    for path in ["/", "/delta.v1.Nothing/Get", "/delta.v1.Entities"] {
        let refusal = call(&port, path, admin(misfit())).await.unwrap_err();
        assert_eq!(refusal.code(), Code::Unimplemented, "{path}: {refusal:?}");
    }
    for path in ["/delta.v1.Entities/None", "/delta.v1.Entities/Get/", "/delta.v1.Entities/get"] {
        let refusal = call(&port, path, admin(misfit())).await.unwrap_err();
        assert_eq!(refusal.code(), Code::Unimplemented, "{path}: {refusal:?}");
    }
}
