//! What gRPC alone costs: tonic's own server, and a service whose every entity is the same bytes as one of ours.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use delta_server::grpc_api::delta::v1 as wire;
use delta_server::grpc_api::delta::v1::entities_server::{Entities, EntitiesServer};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::request::document;

/// HTTP/2 as ours has it; what is not here, window sizes for example, is hyper's default on both sides.
const STREAMS_MAX: u32 = 256;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_DEADLINE: Duration = Duration::from_secs(10);

/// Serves until the process is killed.
pub(crate) fn run(addr: SocketAddr, document_bytes: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(addr, document_bytes))
}

/// The same in a runtime that there is.
pub(crate) async fn serve(addr: SocketAddr, document_bytes: usize) -> Result<()> {
    let bare = EntitiesServer::new(Bare { document: Bytes::from(document(document_bytes)) });
    let server = Server::builder()
        .tcp_nodelay(true)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_DEADLINE))
        .add_service(bare);
    server.serve(addr).await?;
    Ok(())
}

struct Bare {
    document: Bytes,
}

/// A method that is not measured.
fn unmeasured<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("only Get is measured"))
}

#[tonic::async_trait]
impl Entities for Bare {
    async fn get(&self, _: Request<wire::GetEntityRequest>) -> Result<Response<wire::Entity>, Status> {
        let updated = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 123_456_000 };
        let version = wire::Version { number: 1, etag: "\"1-0123456789abcdef\"".into(), updated: Some(updated) };
        let entity = wire::Entity { document: self.document.clone(), version: Some(version), not_modified: false };
        Ok(Response::new(entity))
    }

    async fn put(&self, _: Request<wire::PutEntityRequest>) -> Result<Response<wire::Written>, Status> {
        unmeasured()
    }

    async fn put_many(
        &self,
        _: Request<wire::PutEntitiesRequest>,
    ) -> Result<Response<wire::PutEntitiesResponse>, Status> {
        unmeasured()
    }

    async fn patch(&self, _: Request<wire::PatchEntityRequest>) -> Result<Response<wire::Written>, Status> {
        unmeasured()
    }

    async fn delete(
        &self,
        _: Request<wire::DeleteEntityRequest>,
    ) -> Result<Response<wire::DeleteEntityResponse>, Status> {
        unmeasured()
    }

    async fn list(&self, _: Request<wire::ListKeysRequest>) -> Result<Response<wire::ListKeysResponse>, Status> {
        unmeasured()
    }

    async fn batch_get(&self, _: Request<wire::BatchGetRequest>) -> Result<Response<wire::BatchGetResponse>, Status> {
        unmeasured()
    }
}
