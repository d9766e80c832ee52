//! Entities as the seeds' clients know them: a map of documents, and keys in the query.

use std::collections::BTreeMap;
use std::sync::Arc;

use delta_core::auth::Permission;
use delta_core::document::{Document, parse_members};
use delta_core::entities::Written;
use delta_core::name::{DatabaseName, EntityId, EntityKey, SchemaId};
use delta_core::{Error, ErrorKind, Result};
use http::HeaderMap;
use poem::web::Data;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use crate::app::App;
use crate::rest::body::{Documents, JsonBody, name};
use crate::rest::caller::Caller;
use crate::rest::entity::Status;
use crate::rest::got::Got;
use crate::rest::param::{Demanded, ETags, Named, Told};
use crate::rest::problem::Problem;
use crate::rest::{Tag, conditions};

/// What became of a map of documents.
#[derive(Debug, Object)]
pub(crate) struct MapResult {
    /// Always `ok`.
    status: String,
    /// The version of each document, by key.
    versions: BTreeMap<String, u64>,
    /// The ETag of each document, by key.
    etags: BTreeMap<String, String>,
}

/// Entities, many at once or by query.
pub(crate) struct EntityMapApi;

#[OpenApi(tag = "Tag::Entities")]
impl EntityMapApi {
    /// Write documents
    ///
    /// Every document of the map is validated before any is written; all are written or none.
    #[oai(path = "/entity/:database", method = "put", operation_id = "putEntities")]
    async fn put_map(
        &self,
        app: Data<&Arc<App>>,
        headers: &HeaderMap,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
        /// The schema to check the documents against, instead of the one called like the database.
        schema_id: Query<Option<Named<SchemaId>>>,
        body: JsonBody<Documents>,
    ) -> std::result::Result<Json<MapResult>, Problem> {
        let database: DatabaseName = name(&database.0)?;
        let schema: Option<SchemaId> = schema_id.0.as_deref().map(name).transpose()?;
        caller.0.require(Permission::Write, &database)?;
        conditions::none(headers)?;
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
        headers: &HeaderMap,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
        /// The entity's key.
        key: Query<Demanded<EntityKey>>,
        /// The versions that the caller has: 304 if it is one of them.
        #[oai(name = "If-None-Match")]
        _if_none_match: Told<ETags>,
    ) -> std::result::Result<Got, Problem> {
        let id = query_id(&database.0, key.0.as_deref())?;
        Ok(Got::new(app.entities.get(&caller.0, &id).await?, None, headers)?)
    }

    /// Delete a document
    #[oai(path = "/entity/:database", method = "delete", operation_id = "deleteEntityByKey")]
    async fn delete_by_key(
        &self,
        app: Data<&Arc<App>>,
        headers: &HeaderMap,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
        /// The entity's key.
        key: Query<Demanded<EntityKey>>,
        /// The versions that may be deleted: 412 if it is another one.
        #[oai(name = "If-Match")]
        _if_match: Told<ETags>,
    ) -> std::result::Result<Json<Status>, Problem> {
        let id = query_id(&database.0, key.0.as_deref())?;
        app.entities.delete(&caller.0, &id, &conditions::write(headers)?).await?;
        Ok(Status::ok())
    }
}

/// The entity that a query names.
fn query_id(database: &str, key: Option<&str>) -> Result<EntityId> {
    let database = name(database)?;
    let key = key.ok_or_else(|| Error::invalid("missing_key", "the query needs the entity's key: ?key=…"))?;
    Ok(EntityId::new(database, name(key)?))
}

/// All written; or none, which is one problem; or some, which only a storage without atomic batches answers.
fn map_result(
    results: impl Iterator<Item = (EntityKey, Result<Written>)>,
) -> std::result::Result<Json<MapResult>, Problem> {
    let (mut versions, mut etags, mut failed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (key, result) in results {
        match result {
            Ok(written) => {
                versions.insert(key.to_string(), written.etag.version());
                etags.insert(key.to_string(), written.etag.to_text());
            }
            Err(error) => _ = failed.insert(key.to_string(), error),
        }
    }
    // Whoever may repeat the request must not be told so while a part of it may have happened.
    let unknown = failed.iter().find(|(_, error)| error.kind() == ErrorKind::OutcomeUnknown);
    let Some((key, worst)) = unknown.or_else(|| failed.first_key_value()) else {
        return Ok(Json(MapResult { status: "ok".into(), versions, etags }));
    };
    let (kind, written) = (worst.kind(), versions.len());
    let alike = failed.values().all(|error| error.kind() == kind);
    let said =
        format!("{written} of the documents were written; results says what became of the others, of {key}: {worst}");
    if versions.is_empty()
        && alike
        && let Some((_, error)) = failed.pop_first()
    {
        return Err(error.into());
    }
    let error = match kind {
        ErrorKind::OutcomeUnknown => Error::outcome_unknown(said),
        ErrorKind::Conflict if alike => Error::conflict(said),
        _ => Error::unavailable(said),
    };
    let results = failed.into_iter().map(|(key, error)| (key, error.code().to_owned())).collect();
    Err(Problem::from(error).partly(versions, results))
}
