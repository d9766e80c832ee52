//! Each entity as a resource of its own.

use std::sync::Arc;

use delta_core::Result;
use delta_core::auth::Permission;
use delta_core::document::Document;
use delta_core::entities::{PutOptions, Written};
use delta_core::name::{DatabaseName, EntityId, EntityKey, SchemaId};
use delta_core::pointer::Pointer;
use http::HeaderMap;
use poem::web::Data;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};

use crate::app::App;
use crate::rest::body::{AnyJson, JsonBody, name};
use crate::rest::caller::Caller;
use crate::rest::got::Got;
use crate::rest::param::{ETags, Named, Told};
use crate::rest::patch::PatchBody;
use crate::rest::problem::Problem;
use crate::rest::{Tag, conditions};

/// A done thing.
#[derive(Debug, Object)]
pub(crate) struct Status {
    /// Always `ok`.
    pub(crate) status: String,
}

impl Status {
    pub(crate) fn ok() -> Json<Self> {
        Json(Self { status: "ok".into() })
    }
}

/// A deleted entity.
#[derive(Debug, Object)]
pub(crate) struct DeleteResult {
    /// Always `ok`.
    status: String,
    /// Whether there was one.
    existed: bool,
}

/// What became of a document.
#[derive(Debug, Object)]
pub(crate) struct PutResult {
    /// Always `ok`.
    status: String,
    /// The version that is now current.
    version: u64,
    /// When it was written, in RFC 3339.
    updated_at: String,
}

/// What became of a document.
#[derive(ApiResponse)]
pub(crate) enum PutResponse {
    /// The document replaced another one.
    #[oai(status = 200)]
    Replaced(
        Json<PutResult>,
        /// The version.
        #[oai(header = "ETag")]
        String,
    ),
    /// There was none before.
    #[oai(status = 201)]
    Created(
        Json<PutResult>,
        /// The version.
        #[oai(header = "ETag")]
        String,
    ),
}

/// What became of a document.
#[derive(ApiResponse)]
pub(crate) enum PatchResponse {
    /// The document was changed.
    #[oai(status = 200)]
    Patched(
        Json<PutResult>,
        /// The version.
        #[oai(header = "ETag")]
        String,
    ),
}

/// Entities.
pub(crate) struct EntityApi;

#[OpenApi(tag = "Tag::Entities")]
impl EntityApi {
    /// Read an entity
    #[oai(path = "/entity/:database/:key", method = "get", operation_id = "getEntity")]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the request")]
    async fn get(
        &self,
        app: Data<&Arc<App>>,
        headers: &HeaderMap,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
        key: Path<Named<EntityKey>>,
        /// Only this part of the document, as a JSON Pointer (RFC 6901).
        pointer: Query<Option<Named<Pointer>>>,
        /// The versions that the caller has: 304 if it is one of them.
        #[oai(name = "If-None-Match")]
        _if_none_match: Told<ETags>,
        /// The versions that the caller wants: 412 if it is another one.
        #[oai(name = "If-Match")]
        _if_match: Told<ETags>,
    ) -> std::result::Result<Got, Problem> {
        let id = EntityId::new(name(&database.0)?, name(&key.0)?);
        Ok(Got::new(app.entities.get(&caller.0, &id).await?, pointer.0.as_deref(), headers)?)
    }

    /// Read an entity's headers
    ///
    /// What GET answers, without the document.
    #[oai(path = "/entity/:database/:key", method = "head", operation_id = "headEntity")]
    async fn head(
        &self,
        app: Data<&Arc<App>>,
        headers: &HeaderMap,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
        key: Path<Named<EntityKey>>,
        /// The versions that the caller has: 304 if it is one of them.
        #[oai(name = "If-None-Match")]
        _if_none_match: Told<ETags>,
    ) -> std::result::Result<Got, Problem> {
        let id = EntityId::new(name(&database.0)?, name(&key.0)?);
        Ok(Got::new(app.entities.get(&caller.0, &id).await?, None, headers)?)
    }

    /// Write an entity
    ///
    /// The body is the document itself, any JSON value.
    #[oai(path = "/entity/:database/:key", method = "put", operation_id = "putEntity")]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the request")]
    async fn put(
        &self,
        app: Data<&Arc<App>>,
        headers: &HeaderMap,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
        key: Path<Named<EntityKey>>,
        /// The schema to check the document against, instead of the one called like the database.
        schema_id: Query<Option<Named<SchemaId>>>,
        /// The versions that may be replaced, or `*` for any: 412 if it is another one.
        #[oai(name = "If-Match")]
        _if_match: Told<ETags>,
        /// `*` where the entity must not exist yet: 412 if it does.
        #[oai(name = "If-None-Match")]
        _if_none_match: Told<ETags>,
        body: JsonBody<AnyJson>,
    ) -> std::result::Result<PutResponse, Problem> {
        let id = EntityId::new(name(&database.0)?, name(&key.0)?);
        caller.0.require(Permission::Write, &id.database)?;
        let options = options(schema_id.0.as_deref(), headers)?;
        let document = Document::parse(&body.read().await?, app.document_depth_max)?;
        Ok(put_response(&app.entities.put(&caller.0, &id, document, &options).await?))
    }

    /// Change a part of an entity
    ///
    /// A merge patch or a JSON Patch, as the body's type says; the result is validated like any document. Without
    /// `If-Match` the patch is applied again if somebody else changed the entity meanwhile.
    #[oai(path = "/entity/:database/:key", method = "patch", operation_id = "patchEntity")]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the request")]
    async fn patch(
        &self,
        app: Data<&Arc<App>>,
        headers: &HeaderMap,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
        key: Path<Named<EntityKey>>,
        /// The schema to check the result against, instead of the one called like the database.
        schema_id: Query<Option<Named<SchemaId>>>,
        /// The versions that may be changed: 412 if it is another one.
        #[oai(name = "If-Match")]
        _if_match: Told<ETags>,
        body: PatchBody,
    ) -> std::result::Result<PatchResponse, Problem> {
        let id = EntityId::new(name(&database.0)?, name(&key.0)?);
        caller.0.require(Permission::Write, &id.database)?;
        let options = options(schema_id.0.as_deref(), headers)?;
        let patch = body.read(app.document_depth_max).await?;
        let written = app.entities.patch(&caller.0, &id, &patch, &options).await?;
        Ok(PatchResponse::Patched(Json(put_result(&written)), written.etag.to_text()))
    }

    /// Delete an entity
    ///
    /// Deleting what is not there succeeds, unless `If-Match` demands it.
    #[oai(path = "/entity/:database/:key", method = "delete", operation_id = "deleteEntity")]
    async fn delete(
        &self,
        app: Data<&Arc<App>>,
        headers: &HeaderMap,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
        key: Path<Named<EntityKey>>,
        /// The versions that may be deleted, or `*` for any: 412 if it is another one.
        #[oai(name = "If-Match")]
        _if_match: Told<ETags>,
    ) -> std::result::Result<Json<DeleteResult>, Problem> {
        let id = EntityId::new(name(&database.0)?, name(&key.0)?);
        let existed = app.entities.delete(&caller.0, &id, &conditions::write(headers)?).await?;
        Ok(Json(DeleteResult { status: "ok".into(), existed }))
    }
}

fn options(schema: Option<&str>, headers: &HeaderMap) -> Result<PutOptions> {
    Ok(PutOptions { schema: schema.map(name).transpose()?, precondition: conditions::write(headers)? })
}

fn put_result(written: &Written) -> PutResult {
    PutResult { status: "ok".into(), version: written.etag.version(), updated_at: written.updated.to_string() }
}

fn put_response(written: &Written) -> PutResponse {
    let body = Json(put_result(written));
    let etag = written.etag.to_text();
    if written.created { PutResponse::Created(body, etag) } else { PutResponse::Replaced(body, etag) }
}
