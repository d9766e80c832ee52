//! The store as a whole, and who serves it.

use std::collections::BTreeMap;
use std::sync::Arc;

use delta_core::auth::Permission;
use delta_core::cache::CacheStats;
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};

use crate::app::App;
use crate::cluster::main::{self as cluster, Listed};
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
    /// Requests that it is serving, this one among them.
    active_requests: u64,
    /// What else it says about itself.
    tags: BTreeMap<String, String>,
    cache: WorkerCache,
}

/// A worker of a main.
fn of_roster(app: &App, worker: Listed) -> Worker {
    Worker {
        worker_id: worker.worker.to_string(),
        status: match worker.status {
            cluster::WorkerStatus::Available => WorkerStatus::Available,
            cluster::WorkerStatus::Draining => WorkerStatus::Draining,
            cluster::WorkerStatus::Unresponsive => WorkerStatus::Unresponsive,
        },
        key_id: app.keyring.active().id().to_string(),
        last_seen: worker.last_seen.to_string(),
        tags: worker.tags.into_iter().collect(),
        active_requests: worker.active,
        cache: worker.cache.into(),
    }
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

/// What the server did since it was started.
#[derive(Debug, Object)]
pub(crate) struct Stats {
    /// The version of the server.
    version: String,
    /// Whole seconds since it was started.
    uptime_seconds: u64,
    /// Which storage plug-in keeps the data.
    storage: String,
    cache: WorkerCache,
}

impl From<CacheStats> for WorkerCache {
    fn from(cache: CacheStats) -> Self {
        let CacheStats { hits, misses, evictions, entries, bytes } = cache;
        Self { hits, misses, evictions, entries, bytes }
    }
}

/// The store.
pub(crate) struct StoreApi;

#[OpenApi(tag = "Tag::Store")]
impl StoreApi {
    /// List workers
    #[oai(path = "/admin/workers", method = "get", operation_id = "listWorkers")]
    async fn workers(&self, app: Data<&Arc<App>>, caller: Caller) -> Result<Json<Vec<Worker>>, Problem> {
        caller.0.require_somewhere(Permission::Admin)?;
        if let Some(cluster) = &app.cluster {
            return Ok(Json(cluster.roster().list().into_iter().map(|worker| of_roster(&app, worker)).collect()));
        }
        let status = match app.engine.ready().await {
            Ok(()) => WorkerStatus::Available,
            Err(_) => WorkerStatus::Unresponsive,
        };
        Ok(Json(vec![Worker {
            worker_id: app.worker.to_string(),
            status,
            key_id: app.keyring.active().id().to_string(),
            last_seen: app.clock.now().to_string(),
            active_requests: app.requests.in_flight() + app.calls.in_flight(),
            tags: BTreeMap::from([
                ("role".to_owned(), app.role.to_owned()),
                ("started".to_owned(), app.started.to_string()),
            ]),
            cache: app.engine.cache_stats().into(),
        }]))
    }

    /// Read statistics
    ///
    /// Needs `admin`.
    #[oai(path = "/admin/stats", method = "get", operation_id = "getStats")]
    async fn stats(&self, app: Data<&Arc<App>>, caller: Caller) -> Result<Json<Stats>, Problem> {
        caller.0.require_somewhere(Permission::Admin)?;
        Ok(Json(Stats {
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_seconds: app.clock.now().seconds().saturating_sub(app.started.seconds()),
            storage: app.storage.clone(),
            cache: app.cache_stats().into(),
        }))
    }
}
