//! `delta.v1.Schemas`: readable by everybody, written by those who may.

use async_trait::async_trait;
use delta_core::Result;
use delta_core::auth::Permission;
use delta_core::name::SchemaId;
use tonic::{Request, Response, Status};

use crate::grpc::api::delta::v1 as wire;
use crate::grpc::api::delta::v1::schemas_server::Schemas;
use crate::grpc::status::violation;
use crate::grpc::{Skin, answer, caller};

type Answer<T> = std::result::Result<Response<T>, Status>;

#[async_trait]
impl Schemas for Skin {
    async fn list(&self, _: Request<wire::ListSchemasRequest>) -> Answer<wire::ListSchemasResponse> {
        let ids = self.0.engine.schemas().list().await;
        answer(ids.map(|ids| wire::ListSchemasResponse { ids: ids.into_iter().map(String::from).collect() }))
    }

    async fn get(&self, request: Request<wire::GetSchemaRequest>) -> Answer<wire::Schema> {
        answer(self.get_schema(&request.into_inner()).await)
    }

    async fn put(&self, request: Request<wire::PutSchemaRequest>) -> Answer<wire::PutSchemaResponse> {
        answer(self.put_schema(request).await)
    }

    async fn delete(&self, request: Request<wire::DeleteSchemaRequest>) -> Answer<wire::DeleteSchemaResponse> {
        answer(self.delete_schema(request).await)
    }

    async fn validate(&self, request: Request<wire::ValidateRequest>) -> Answer<wire::ValidateResponse> {
        answer(self.validate_document(request).await)
    }
}

impl Skin {
    async fn get_schema(&self, asked: &wire::GetSchemaRequest) -> Result<wire::Schema> {
        let schema = self.0.engine.schemas().get(&asked.id.parse()?).await?;
        Ok(wire::Schema { source: schema.source.bytes().clone(), version: schema.version })
    }

    async fn put_schema(&self, request: Request<wire::PutSchemaRequest>) -> Result<wire::PutSchemaResponse> {
        let (who, asked) = caller(request)?;
        let id: SchemaId = asked.id.parse()?;
        who.require_schema_write()?;
        let schema = self.0.engine.schemas().put(&who, &id, self.document(&asked.source)?).await?;
        Ok(wire::PutSchemaResponse { version: schema.version })
    }

    async fn delete_schema(&self, request: Request<wire::DeleteSchemaRequest>) -> Result<wire::DeleteSchemaResponse> {
        let (who, asked) = caller(request)?;
        self.0.engine.databases().delete_schema(&who, &asked.id.parse()?).await?;
        Ok(wire::DeleteSchemaResponse {})
    }

    async fn validate_document(&self, request: Request<wire::ValidateRequest>) -> Result<wire::ValidateResponse> {
        let (who, asked) = caller(request)?;
        let id: SchemaId = asked.id.parse()?;
        who.require_somewhere(Permission::Read)?;
        let document = self.document(&asked.document)?;
        let violations = self.0.engine.schemas().validate(&id, &document).await?;
        let violations: Vec<_> = violations.iter().map(violation).collect();
        Ok(wire::ValidateResponse { valid: violations.is_empty(), violations })
    }
}
