//! The store as a whole: its databases, and who serves it.

use std::collections::BTreeMap;
use std::sync::Arc;

use delta_core::auth::Permission;
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};

use crate::app::App;
use crate::rest::Tag;
use crate::rest::caller::Caller;
use crate::rest::problem::Problem;

/// What a worker is doing.
#[derive(Debug, Clone, Copy, Enum)]
pub(crate) enum WorkerStatus {
    /// It takes requests.
    Available,
    /// It ends its requests and takes no new ones.
    Draining,
    /// It has not been heard of.
    Unresponsive,
}

/// A process that does the work.
#[derive(Debug, Object)]
pub(crate) struct Worker {
    /// Its name.
    worker_id: String,
    // Described by its type, as `cache` is: a description beside a reference is more than some generators of clients take.
    status: WorkerStatus,
    /// The master key that it seals under.
    key_id: String,
    /// When it was last heard of, in RFC 3339.
    last_seen: String,
    /// What else it says about itself.
    tags: BTreeMap<String, String>,
    cache: WorkerCache,
}

/// A worker's memory of documents.
#[derive(Debug, Object)]
pub(crate) struct WorkerCache {
    /// Reads that were served from memory.
    hits: u64,
    /// Reads that were not.
    misses: u64,
    /// Documents that made room for others.
    evictions: u64,
    /// Documents held now.
    entries: u64,
    /// Bytes held now.
    bytes: u64,
}

/// The store.
pub(crate) struct StoreApi;

#[OpenApi(tag = "Tag::Store")]
impl StoreApi {
    /// List databases
    ///
    /// Those that hold entities and that the caller may read, in order.
    #[oai(path = "/api/databases", method = "get", operation_id = "listDatabases")]
    async fn databases(&self, app: Data<&Arc<App>>, caller: Caller) -> Result<Json<Vec<String>>, Problem> {
        let databases = app.entities.databases(&caller.0).await?;
        Ok(Json(databases.into_iter().map(String::from).collect()))
    }

    /// List workers
    #[oai(path = "/admin/workers", method = "get", operation_id = "listWorkers")]
    async fn workers(&self, app: Data<&Arc<App>>, caller: Caller) -> Result<Json<Vec<Worker>>, Problem> {
        caller.0.require_somewhere(Permission::Admin)?;
        let status = match app.engine.ready().await {
            Ok(()) => WorkerStatus::Available,
            Err(_) => WorkerStatus::Unresponsive,
        };
        let cache = app.engine.cache_stats();
        Ok(Json(vec![Worker {
            worker_id: app.worker.to_string(),
            status,
            key_id: app.keyring.active().id().to_string(),
            last_seen: app.clock.now().to_string(),
            tags: BTreeMap::from([
                ("role".to_owned(), "serve".to_owned()),
                ("started".to_owned(), app.started.to_string()),
            ]),
            cache: WorkerCache {
                hits: cache.hits,
                misses: cache.misses,
                evictions: cache.evictions,
                entries: cache.entries,
                bytes: cache.bytes,
            },
        }]))
    }
}
