//! `deltadb.MainWorker`: the first clients' service. Its version is text and its operations are words.

use async_trait::async_trait;
use delta_core::auth::{Permission, Principal};
use delta_core::entities::{Precondition, PutOptions};
use delta_core::name::SchemaId;
use delta_core::{Error, ErrorKind, Result};
use tonic::transport::server::TcpConnectInfo;
use tonic::{Request, Response, Status};

use crate::grpc::api::deltadb::main_worker_server::MainWorker;
use crate::grpc::api::deltadb::{ProcessRequest, ProcessResponse, SubscribeRequest, SubscribeResponse};
use crate::grpc::call::missing_credential;
use crate::grpc::entities::entity_id;
use crate::grpc::{Skin, answer, optional};

#[async_trait]
impl MainWorker for Skin {
    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> std::result::Result<Response<SubscribeResponse>, Status> {
        answer(self.enrol(request))
    }

    async fn process(
        &self,
        request: Request<ProcessRequest>,
    ) -> std::result::Result<Response<ProcessResponse>, Status> {
        answer(self.one_operation(request).await)
    }
}

impl Skin {
    fn enrol(&self, request: Request<SubscribeRequest>) -> Result<SubscribeResponse> {
        let (_, mut extensions, asked) = request.into_parts();
        let cluster = self.0.cluster.as_ref().ok_or_else(no_cluster)?;
        cluster.subscribe(extensions.remove().ok_or_else(missing_credential)?, &asked)
    }

    async fn one_operation(&self, request: Request<ProcessRequest>) -> Result<ProcessResponse> {
        let (metadata, mut extensions, asked) = request.into_parts();
        let peer = extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        // A schema is everybody's to read, as in REST.
        if asked.operation == "SCHEMA_GET" {
            let schema = self.0.engine.schemas().get(&schema_id(&asked)?).await?;
            return Ok(done(schema.source.bytes().clone(), schema.version.to_string()));
        }
        let who = match extensions.remove::<Principal>() {
            Some(who) => who,
            None if asked.token.is_empty() => return Err(missing_credential()),
            None => self.0.authenticate(&asked.token, self.0.client(peer, &metadata.into_headers())).await?,
        };
        match asked.operation.as_str() {
            "GET" => {
                let found = self.0.entities.get(&who, &entity_id(&asked.database_name, &asked.entity_key)?).await?;
                Ok(done(found.document.bytes().clone(), found.etag.version().to_string()))
            }
            "PUT" => self.process_put(&who, &asked).await,
            "DELETE" => {
                let id = entity_id(&asked.database_name, &asked.entity_key)?;
                self.0.entities.delete(&who, &id, &Precondition::None).await?;
                Ok(done(bytes::Bytes::new(), String::new()))
            }
            "SCHEMA_PUT" => {
                who.require_schema_write()?;
                let (id, source) = (schema_id(&asked)?, self.document(&asked.payload)?);
                let schema = self.0.engine.schemas().put(&who, &id, source).await?;
                Ok(done(bytes::Bytes::new(), schema.version.to_string()))
            }
            "SCHEMA_DELETE" => {
                self.0.engine.databases().delete_schema(&who, &schema_id(&asked)?).await?;
                Ok(done(bytes::Bytes::new(), String::new()))
            }
            _ => {
                let known = "GET, PUT, DELETE, SCHEMA_GET, SCHEMA_PUT and SCHEMA_DELETE";
                Err(Error::invalid("unknown_operation", format!("there is no such operation; there are {known}")))
            }
        }
    }

    async fn process_put(&self, who: &Principal, asked: &ProcessRequest) -> Result<ProcessResponse> {
        let id = entity_id(&asked.database_name, &asked.entity_key)?;
        who.require(Permission::Write, &id.database)?;
        let options = PutOptions { schema: optional(&asked.schema_id)?, ..PutOptions::default() };
        let written = self.0.entities.put(who, &id, self.document(&asked.payload)?, &options).await?;
        Ok(done(bytes::Bytes::new(), written.etag.version().to_string()))
    }
}

/// This process does all the work itself, whatever the credential.
pub(crate) fn no_cluster() -> Error {
    let message =
        "this server does all the work itself; `deltadb main` over a storage that others can open has workers";
    Error::new(ErrorKind::PreconditionFailed, message).with_code("no_cluster")
}

fn schema_id(asked: &ProcessRequest) -> Result<SchemaId> {
    asked.schema_id.parse()
}

fn done(result: bytes::Bytes, version: String) -> ProcessResponse {
    ProcessResponse { status: "OK".into(), result, version, error: String::new() }
}
