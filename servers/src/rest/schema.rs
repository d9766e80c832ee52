//! Schemas: readable by everybody, written by those who may.

use std::sync::Arc;

use delta_core::auth::Permission;
use delta_core::document::Document;
use delta_core::name::SchemaId;
use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};

use crate::app::App;
use crate::rest::Tag;
use crate::rest::body::{AnyJson, JsonBody, RawJson, name};
use crate::rest::caller::Caller;
use crate::rest::entity::Status;
use crate::rest::param::Named;
use crate::rest::problem::{Problem, ViolationBody};

/// A schema.
#[derive(ApiResponse)]
pub(crate) enum SchemaResponse {
    /// The schema, byte for byte as it was put.
    #[oai(status = 200)]
    Schema(RawJson),
}

/// Whether a document matches a schema.
#[derive(Debug, Object)]
pub(crate) struct ValidateResult {
    /// Whether it does.
    valid: bool,
    /// Every place where it does not.
    violations: Vec<ViolationBody>,
}

/// Schemas.
pub(crate) struct SchemaApi;

#[OpenApi(tag = "Tag::Schemas")]
impl SchemaApi {
    /// List schemas
    #[oai(path = "/admin/schemas", method = "get", operation_id = "listSchemas")]
    async fn list(&self, app: Data<&Arc<App>>) -> Result<Json<Vec<String>>, Problem> {
        let ids = app.engine.schemas().list().await?;
        Ok(Json(ids.into_iter().map(String::from).collect()))
    }

    /// Read a schema
    #[oai(path = "/schema/:id", method = "get", operation_id = "getSchema")]
    async fn get(&self, app: Data<&Arc<App>>, id: Path<Named<SchemaId>>) -> Result<SchemaResponse, Problem> {
        let id: SchemaId = name(&id.0)?;
        let schema = app.engine.schemas().get(&id).await?;
        Ok(SchemaResponse::Schema(RawJson::new(schema.source.bytes().clone())))
    }

    /// Write a schema
    ///
    /// JSON Schema, drafts 4 to 2020-12; draft-07 where `$schema` is absent. It applies to every later write to the
    /// database of the same name, or to one that names it. A changed text becomes a new version.
    #[oai(path = "/schema/:id", method = "put", operation_id = "putSchema")]
    async fn put(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        id: Path<Named<SchemaId>>,
        body: JsonBody<AnyJson>,
    ) -> Result<Json<Status>, Problem> {
        let id: SchemaId = name(&id.0)?;
        caller.0.require_schema_write()?;
        let source = Document::parse(&body.read().await?, app.document_depth_max)?;
        app.engine.schemas().put(&caller.0, &id, source).await?;
        Ok(Status::ok())
    }

    /// Delete a schema
    ///
    /// Documents that were checked against it stay as they are. One that a database is bound to is 409 `schema_in_use`.
    #[oai(path = "/schema/:id", method = "delete", operation_id = "deleteSchema")]
    async fn delete(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        id: Path<Named<SchemaId>>,
    ) -> Result<Json<Status>, Problem> {
        let id: SchemaId = name(&id.0)?;
        app.engine.databases().delete_schema(&caller.0, &id).await?;
        Ok(Status::ok())
    }

    /// Check a document against a schema
    ///
    /// A dry run: nothing is written. Needs `read`.
    #[oai(path = "/schema/:id/validate", method = "post", operation_id = "validate")]
    async fn validate(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        id: Path<Named<SchemaId>>,
        body: JsonBody<AnyJson>,
    ) -> Result<Json<ValidateResult>, Problem> {
        let id: SchemaId = name(&id.0)?;
        caller.0.require_somewhere(Permission::Read)?;
        let document = Document::parse(&body.read().await?, app.document_depth_max)?;
        let violations = app.engine.schemas().validate(&id, &document).await?;
        let violations: Vec<_> = violations.into_iter().map(ViolationBody::from).collect();
        Ok(Json(ValidateResult { valid: violations.is_empty(), violations }))
    }
}
