//! gRPC as its clients see it.

mod access;
mod errors;
mod foreign;
mod frames;
mod logs;
mod operations;
mod process;
mod suite;

use std::sync::OnceLock;

use delta_server::grpc_api::delta::v1 as wire;
use delta_server::grpc_api::delta::v1::databases_client::DatabasesClient;
use delta_server::grpc_api::delta::v1::entities_client::EntitiesClient;
use delta_server::grpc_api::delta::v1::schemas_client::SchemasClient;
use delta_server::grpc_api::deltadb::main_worker_client::MainWorkerClient;
use delta_tests::server::Server;
use delta_tests::skins::grpc::{channel, error, with_bearer};
use delta_tests::start::ADMIN_KEY;
use prost_types::{FileDescriptorSet, ServiceDescriptorProto};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::support::server;

/// A server, and clients of it.
struct Port {
    server: Server,
    channel: Channel,
    _directory: TempDir,
}

impl Port {
    fn open() -> Self {
        let (directory, server) = server();
        Self::of(directory, server)
    }

    fn of(directory: TempDir, server: Server) -> Self {
        Self { channel: channel(server.grpc_address()), server, _directory: directory }
    }

    fn entities(&self) -> EntitiesClient<Channel> {
        EntitiesClient::new(self.channel.clone())
    }

    fn databases(&self) -> DatabasesClient<Channel> {
        DatabasesClient::new(self.channel.clone())
    }

    fn schemas(&self) -> SchemasClient<Channel> {
        SchemasClient::new(self.channel.clone())
    }

    fn main_worker(&self) -> MainWorkerClient<Channel> {
        MainWorkerClient::new(self.channel.clone())
    }

    /// Writes a document of the database `db`.
    async fn put(&self, key: &str, document: &str) -> wire::Written {
        self.entities().put(admin(put(key, document))).await.unwrap().into_inner()
    }
}

/// A message as the administrator sends it.
fn admin<T>(message: T) -> Request<T> {
    with_bearer(message, ADMIN_KEY)
}

fn put(key: &str, document: &str) -> wire::PutEntityRequest {
    wire::PutEntityRequest {
        database: "db".into(),
        key: key.into(),
        document: document.to_owned().into(),
        ..wire::PutEntityRequest::default()
    }
}

fn get(key: &str) -> wire::GetEntityRequest {
    wire::GetEntityRequest { database: "db".into(), key: key.into(), ..wire::GetEntityRequest::default() }
}

/// A refusal with this status and stable code; gives its message.
#[track_caller]
fn refused<T>(result: Result<Response<T>, Status>, status: Code, code: &str) -> String {
    let refusal = result.err().expect("a refusal");
    assert_eq!((refusal.code(), error(&refusal).code()), (status, code), "{refusal:?}");
    assert!(!refusal.message().is_empty() && !refusal.message().contains('\n'), "{refusal:?}");
    refusal.message().to_owned()
}

/// The services that the descriptor has.
fn services() -> &'static [(String, ServiceDescriptorProto)] {
    static SERVICES: OnceLock<Vec<(String, ServiceDescriptorProto)>> = OnceLock::new();
    SERVICES.get_or_init(|| {
        let set: FileDescriptorSet = prost::Message::decode(delta_server::grpc_descriptor()).unwrap();
        let all = set.file.into_iter().flat_map(|file| {
            let package = file.package().to_owned();
            file.service.into_iter().map(move |service| (format!("{package}.{}", service.name()), service))
        });
        all.collect()
    })
}
