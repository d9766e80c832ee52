//! Entities: the map form the seeds' clients use, and each entity as a resource of its own.

use delta_core::auth::Permission;
use delta_core::clock::Timestamp;
use delta_core::document::{Document, parse_members};
use delta_core::entities::{Entity, Precondition, PutOptions, Written};
use delta_core::name::{DatabaseName, EntityId, EntityKey, SchemaId};
use delta_core::{Error, ErrorKind, Result};
use poem::web::Data;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::app::App;
use crate::rest::Tag;
use crate::rest::body::{AnyJson, Documents, JsonBody, RawJson, name};
use crate::rest::caller::Caller;
use crate::rest::param::{Demanded, Named};
use crate::rest::problem::Problem;

/// A document.
#[derive(ApiResponse)]
pub(crate) enum GetResponse {
    /// The document, byte for byte as it was written.
    #[oai(status = 200)]
    Document(
        RawJson,
        /// The version.
        #[oai(header = "ETag")]
        String,
        /// When this version was written.
        #[oai(header = "Last-Modified")]
        String,
    ),
}

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

/// What became of a map of documents.
#[derive(Debug, Object)]
pub(crate) struct MapResult {
    /// Always `ok`.
    status: String,
    /// The version of each document, by key.
    versions: BTreeMap<String, u64>,
}

/// What became of a document.
#[derive(Debug, Object)]
pub(crate) struct PutResult {
    /// Always `ok`.
    status: String,
    /// The version that is now current.
    version: u64,
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

/// Entities.
pub(crate) struct EntityApi;

#[OpenApi(tag = "Tag::Entities")]
impl EntityApi {
    /// Write documents
    ///
    /// Every document of the map is validated before any is written; all are written or none.
    #[oai(path = "/entity/:database", method = "put", operation_id = "putEntities")]
    async fn put_map(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
        /// The schema to check the documents against, instead of the one called like the database.
        schema_id: Query<Option<Named<SchemaId>>>,
        body: JsonBody<Documents>,
    ) -> std::result::Result<Json<MapResult>, Problem> {
        let database: DatabaseName = name(&database.0)?;
        let schema: Option<SchemaId> = schema_id.0.as_deref().map(name).transpose()?;
        caller.0.require(Permission::Write, &database)?;
        let members = parse_members(&body.read().await?, app.document_depth_max)?;
        let parse = |(key, document): (String, Document)| Ok((EntityKey::parse(&key)?, document));
        let documents = members.into_iter().map(parse).collect::<Result<Vec<_>>>()?;
        let keys: Vec<_> = documents.iter().map(|(key, _)| key.clone()).collect();
        let written = app.entities.put_many(&caller.0, &database, documents, schema.as_ref()).await?;
        map_result(keys.into_iter().zip(written))
    }

    /// Read a document
    #[oai(path = "/entity/:database", method = "get", operation_id = "getEntityByKey")]
    async fn get_by_key(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
        /// The entity's key.
        key: Query<Demanded<EntityKey>>,
    ) -> std::result::Result<GetResponse, Problem> {
        let id = query_id(&database.0, key.0.as_deref())?;
        Ok(got(app.entities.get(&caller.0, &id).await?))
    }

    /// Delete a document
    #[oai(path = "/entity/:database", method = "delete", operation_id = "deleteEntityByKey")]
    async fn delete_by_key(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
        /// The entity's key.
        key: Query<Demanded<EntityKey>>,
    ) -> std::result::Result<Json<Status>, Problem> {
        let id = query_id(&database.0, key.0.as_deref())?;
        app.entities.delete(&caller.0, &id, &Precondition::None).await?;
        Ok(Status::ok())
    }

    /// Read an entity
    #[oai(path = "/entity/:database/:key", method = "get", operation_id = "getEntity")]
    async fn get(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
        key: Path<Named<EntityKey>>,
    ) -> std::result::Result<GetResponse, Problem> {
        let id = EntityId::new(name(&database.0)?, name(&key.0)?);
        Ok(got(app.entities.get(&caller.0, &id).await?))
    }

    /// Write an entity
    ///
    /// The body is the document itself, any JSON value.
    #[oai(path = "/entity/:database/:key", method = "put", operation_id = "putEntity")]
    async fn put(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
        key: Path<Named<EntityKey>>,
        /// The schema to check the document against, instead of the one called like the database.
        schema_id: Query<Option<Named<SchemaId>>>,
        body: JsonBody<AnyJson>,
    ) -> std::result::Result<PutResponse, Problem> {
        let id = EntityId::new(name(&database.0)?, name(&key.0)?);
        let options = PutOptions { schema: schema_id.0.as_deref().map(name).transpose()?, ..PutOptions::default() };
        caller.0.require(Permission::Write, &id.database)?;
        let document = Document::parse(&body.read().await?, app.document_depth_max)?;
        Ok(put_response(&app.entities.put(&caller.0, &id, document, &options).await?))
    }
}

/// The entity that a query names.
fn query_id(database: &str, key: Option<&str>) -> Result<EntityId> {
    let database = name(database)?;
    let key = key.ok_or_else(|| Error::invalid("missing_key", "the query needs the entity's key: ?key=…"))?;
    Ok(EntityId::new(database, name(key)?))
}

fn got(entity: Entity) -> GetResponse {
    let modified = last_modified(entity.updated);
    GetResponse::Document(RawJson(entity.document.bytes().clone()), entity.etag.to_text(), modified)
}

fn last_modified(updated: Timestamp) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(updated.seconds()))
}

fn put_response(written: &Written) -> PutResponse {
    let body = Json(PutResult { status: "ok".into(), version: written.etag.version() });
    let etag = written.etag.to_text();
    if written.created { PutResponse::Created(body, etag) } else { PutResponse::Replaced(body, etag) }
}

/// All written; or none, which is one problem; or some, which only a storage without atomic batches answers.
fn map_result(
    results: impl Iterator<Item = (EntityKey, Result<Written>)>,
) -> std::result::Result<Json<MapResult>, Problem> {
    let (mut versions, mut failed) = (BTreeMap::new(), BTreeMap::new());
    for (key, result) in results {
        match result {
            Ok(written) => _ = versions.insert(key.to_string(), written.etag.version()),
            Err(error) => _ = failed.insert(key.to_string(), error),
        }
    }
    if versions.is_empty()
        && let Some((_, error)) = failed.pop_first()
    {
        return Err(error.into());
    }
    if failed.is_empty() {
        return Ok(Json(MapResult { status: "ok".into(), versions }));
    }
    let said = format!("{} of the documents were written; results says what became of the others", versions.len());
    let error = match failed.values().all(|error| error.kind() == ErrorKind::Conflict) {
        true => Error::conflict(said),
        false => Error::unavailable(said),
    };
    let results = failed.into_iter().map(|(key, error)| (key, error.code().to_owned())).collect();
    Err(Problem::from(error).partly(versions, results))
}
