//! Databases as a whole: their keys, many documents at once, settings and drops.

use std::sync::Arc;

use delta_core::auth::Permission;
use delta_core::databases::{Described, Settings};
use delta_core::entities::{Entity, ListQuery, ListedKey, PAGE_KEYS_MAX, Page};
use delta_core::name::{DatabaseName, ENTITY_KEY_BYTES_MAX, EntityKey, SchemaId};
use delta_core::{Error, Result};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use poem::web::Data;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde::Deserialize;

use crate::app::App;
use crate::rest::Tag;
use crate::rest::body::{JsonBody, RawJson, name, present};
use crate::rest::caller::Caller;
use crate::rest::param::{Named, Prefix};
use crate::rest::problem::Problem;

/// How many keys a page has where the request does not say.
const PAGE_KEYS_DEFAULT: usize = 100;

/// What can be set for a database.
#[derive(Debug, Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsBody {
    /// The schema that every document must match; without one, the schema called like the database counts if it exists.
    #[serde(default, deserialize_with = "present")]
    #[oai(default)]
    schema_id: Option<Named<SchemaId>>,
    /// Whether a document to which no schema applies is refused.
    #[serde(default)]
    #[oai(default)]
    require_schema: bool,
}

/// Whether a database can be used.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename_all = "lowercase")]
pub(crate) enum DatabaseStatus {
    /// It can be used.
    Ready,
    /// It is being removed, and every request for it is refused.
    Dropping,
}

/// A database.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct DatabaseBody {
    /// Its name.
    database: String,
    status: DatabaseStatus,
    /// The schema that every document must match.
    schema_id: Option<String>,
    /// Whether a document to which no schema applies is refused.
    require_schema: bool,
    /// While it is dropped: entities removed since the server started on it.
    removed: Option<u64>,
    /// While it is dropped: what stopped the removal last; it is tried again.
    trouble: Option<String>,
}

/// A database that is being dropped.
#[derive(ApiResponse)]
pub(crate) enum DropResponse {
    /// Nobody can use the database any more; it is gone when reading it answers 404.
    #[oai(status = 202)]
    Dropping(Json<DatabaseBody>),
}

/// One key of a listing.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct KeyBody {
    /// The key.
    key: String,
    /// The size of the sealed object in bytes.
    size: u64,
    /// With `metadata`: the version.
    version: Option<u64>,
    /// With `metadata`: when this version was written, in RFC 3339.
    updated_at: Option<String>,
    /// With `metadata`: the schema that the document was checked against, if any.
    schema_id: Option<String>,
    /// With `metadata`: the version's ETag.
    etag: Option<String>,
}

/// One page of keys.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct KeysBody {
    /// The keys, in ascending order of their bytes.
    items: Vec<KeyBody>,
    /// What to send as `cursor` for the next page; absent on the last one.
    next_cursor: Option<String>,
}

/// A page of keys.
#[derive(ApiResponse)]
pub(crate) enum KeysResponse {
    /// The page.
    #[oai(status = 200)]
    Page(
        Json<KeysBody>,
        /// The next page, as `<address>; rel="next"` (RFC 8288).
        #[oai(header = "Link")]
        Option<String>,
    ),
}

/// Which documents are wanted.
#[derive(Debug, Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchGetRequest {
    /// Their keys.
    #[oai(validator(min_items = 1, max_items = 1000))]
    keys: Vec<Named<EntityKey>>,
}

/// One of many documents.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct BatchItem {
    /// The key that was asked for.
    key: String,
    /// Whether there is such an entity; the other fields are absent if not.
    found: bool,
    /// The version.
    version: Option<u64>,
    /// The version's ETag.
    etag: Option<String>,
    /// When this version was written, in RFC 3339.
    updated_at: Option<String>,
    /// The document, any JSON value, as it was written.
    document: Option<poem_openapi::types::Any<serde_json::Value>>,
}

/// Many documents.
#[derive(Debug, Object)]
pub(crate) struct BatchGetResult {
    /// One item a key, in the order they were asked for.
    items: Vec<BatchItem>,
}

/// Many documents.
#[derive(ApiResponse)]
pub(crate) enum BatchGetResponse {
    /// The documents, missing ones marked.
    #[oai(status = 200)]
    Found(RawJson<BatchGetResult>),
}

/// Databases.
pub(crate) struct DatabaseApi;

#[OpenApi(tag = "Tag::Databases")]
impl DatabaseApi {
    /// List databases
    ///
    /// Those that hold entities and that the caller may read, in order.
    #[oai(path = "/api/databases", method = "get", operation_id = "listDatabases")]
    async fn list(&self, app: Data<&Arc<App>>, caller: Caller) -> std::result::Result<Json<Vec<String>>, Problem> {
        let databases = app.entities.databases(&caller.0).await?;
        Ok(Json(databases.into_iter().map(String::from).collect()))
    }

    /// Read a database's settings
    ///
    /// Needs `read`. While it is dropped, this tells how far that is; a database without settings and entities is 404.
    #[oai(path = "/api/databases/:database", method = "get", operation_id = "getDatabase")]
    async fn get(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
    ) -> std::result::Result<Json<DatabaseBody>, Problem> {
        let database: DatabaseName = name(&database.0)?;
        let described = app.engine.database(&caller.0, &database).await?;
        Ok(Json(body(&database, described)))
    }

    /// Set a database's settings
    ///
    /// Needs `admin`. They count for every later write; what is stored already is not looked at.
    #[oai(path = "/api/databases/:database", method = "put", operation_id = "putDatabase")]
    async fn put(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
        body: JsonBody<SettingsBody>,
    ) -> std::result::Result<Json<DatabaseBody>, Problem> {
        let database: DatabaseName = name(&database.0)?;
        caller.0.require(Permission::Admin, &database)?;
        let wanted = body.parse().await?;
        let schema_id: Option<SchemaId> = wanted.schema_id.as_deref().map(name).transpose()?;
        let settings = Settings { schema_id, require_schema: wanted.require_schema };
        app.engine.databases().set(&caller.0, &database, settings.clone()).await?;
        Ok(Json(self::body(&database, Described { settings, dropping: None })))
    }

    /// Drop a database
    ///
    /// Needs `admin`. From the answer on nobody can use it (409 `dropping`), and its entities are removed in the
    /// background, also over a restart. Its schemas stay.
    #[oai(path = "/api/databases/:database", method = "delete", operation_id = "dropDatabase")]
    async fn remove(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
    ) -> std::result::Result<DropResponse, Problem> {
        let database: DatabaseName = name(&database.0)?;
        let described = app.engine.drop_database(&caller.0, &database).await?;
        Ok(DropResponse::Dropping(Json(body(&database, described))))
    }

    /// List a database's keys
    ///
    /// In ascending order of their bytes. A cursor stays valid whatever is written or deleted meanwhile.
    #[oai(path = "/api/databases/:database/keys", method = "get", operation_id = "listKeys")]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the query")]
    async fn keys(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
        /// Only keys that begin with this.
        prefix: Query<Option<Named<Prefix>>>,
        /// At most so many keys; 100 where it is not said.
        #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
        limit: Query<Option<usize>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// Whether each key comes with version, time, schema and ETag, which costs a read for each.
        metadata: Query<Option<bool>>,
    ) -> std::result::Result<KeysResponse, Problem> {
        let database: DatabaseName = name(&database.0)?;
        let query = ListQuery {
            prefix: prefix.0.as_deref().unwrap_or_default().to_owned(),
            cursor: cursor.0.as_deref().map(name).transpose()?,
            limit: limit.0.unwrap_or(PAGE_KEYS_DEFAULT),
            metadata: metadata.0.unwrap_or_default(),
        };
        check(&query)?;
        let page = app.entities.list(&caller.0, &database, &query).await?;
        let link = page.next.as_ref().map(|next| link(&database, &query, next.as_str()));
        Ok(KeysResponse::Page(Json(keys(page)), link))
    }

    /// Read many documents
    ///
    /// One request for many keys; a key without an entity is marked, and no error.
    #[oai(path = "/api/databases/:database/batch-get", method = "post", operation_id = "batchGet")]
    async fn batch_get(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        database: Path<Named<DatabaseName>>,
        body: JsonBody<BatchGetRequest>,
    ) -> std::result::Result<BatchGetResponse, Problem> {
        let database: DatabaseName = name(&database.0)?;
        caller.0.require(Permission::Read, &database)?;
        let wanted = body.parse().await?.keys;
        let keys = wanted.iter().map(|key| EntityKey::parse(key)).collect::<Result<Vec<_>>>()?;
        let found = app.entities.get_many(&caller.0, &database, &keys).await?;
        Ok(BatchGetResponse::Found(RawJson::new(batch(&keys, &found).into())))
    }
}

fn body(database: &DatabaseName, described: Described) -> DatabaseBody {
    let dropping = described.dropping;
    DatabaseBody {
        database: database.to_string(),
        status: if dropping.is_some() { DatabaseStatus::Dropping } else { DatabaseStatus::Ready },
        schema_id: described.settings.schema_id.map(String::from),
        require_schema: described.settings.require_schema,
        removed: dropping.as_ref().map(|progress| progress.removed),
        trouble: dropping.and_then(|progress| progress.trouble),
    }
}

fn check(query: &ListQuery) -> Result<()> {
    if query.limit == 0 || query.limit > PAGE_KEYS_MAX {
        return Err(Error::invalid("invalid_limit", format!("limit must be 1 to {PAGE_KEYS_MAX}")));
    }
    if query.prefix.len() > ENTITY_KEY_BYTES_MAX {
        let message = format!("prefix has more than {ENTITY_KEY_BYTES_MAX} bytes, and so has no key");
        return Err(Error::invalid("invalid_prefix", message));
    }
    Ok(())
}

fn keys(page: Page) -> KeysBody {
    let item = |item: ListedKey| {
        let meta = item.meta;
        KeyBody {
            key: item.key.to_string(),
            size: item.size_bytes,
            version: meta.as_ref().map(|meta| meta.etag.version()),
            updated_at: meta.as_ref().map(|meta| meta.updated.to_string()),
            etag: meta.as_ref().map(|meta| meta.etag.to_text()),
            schema_id: meta.and_then(|meta| meta.schema).map(String::from),
        }
    };
    let next_cursor = page.next.map(|next| next.as_str().to_owned());
    KeysBody { items: page.items.into_iter().map(item).collect(), next_cursor }
}

/// The address of the next page; every value is escaped, so nothing of it ends the header's `<…>`.
fn link(database: &DatabaseName, query: &ListQuery, cursor: &str) -> String {
    let prefix = utf8_percent_encode(&query.prefix, NON_ALPHANUMERIC);
    let (limit, metadata) = (query.limit, query.metadata);
    format!(
        "</api/databases/{database}/keys?prefix={prefix}&limit={limit}&metadata={metadata}&cursor={cursor}>; rel=\"next\""
    )
}

/// The answer, put together by hand so that each document is in it byte for byte.
fn batch(keys: &[EntityKey], found: &[Option<Entity>]) -> Vec<u8> {
    let documents = found.iter().flatten().map(|entity| entity.document.bytes().len());
    let mut out = Vec::with_capacity(documents.sum::<usize>() + keys.len() * 200);
    out.extend_from_slice(b"{\"items\":[");
    for (at, (key, entity)) in keys.iter().zip(found).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let key = serde_json::Value::from(key.as_str());
        let Some(entity) = entity else {
            out.extend_from_slice(format!("{{\"key\":{key},\"found\":false}}").as_bytes());
            continue;
        };
        let (version, updated) = (entity.etag.version(), entity.updated);
        let etag = serde_json::Value::from(entity.etag.to_text());
        let head = format!(
            "{{\"key\":{key},\"found\":true,\"version\":{version},\"etag\":{etag},\"updated_at\":\"{updated}\",\"document\":"
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(entity.document.bytes());
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out
}
