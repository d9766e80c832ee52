//! The data plane: what the product does with a document, on this machine.
//!
//! `require ▸ validate ▸ seal ▸ store ▸ cache`, in that order, and nothing is optional. The storage decides every race by
//! compare-and-swap; memory only remembers. The surprise: a write that has started runs to its end in a task of its own,
//! whether or not the client still waits.

mod writing;

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use crate::address::Names;
use crate::auth::{Permission, Principal};
use crate::cache::{Cache, CacheLimits, CacheStats, Cached};
use crate::clock::Clock;
use crate::document::Document;
use crate::entities::{BATCH_ENTITIES_MAX, Entities, Entity, ListQuery, Page, Precondition, PutOptions, Written};
use crate::error::{Error, Result};
use crate::index::{KEY_INDEX_BYTES_MAX, KeyIndex};
use crate::name::{DatabaseName, EntityId, EntityKey, SchemaId};
use crate::schemas::Schemas;
use crate::seal::Sealer;
use crate::storage::Storage;
use crate::turns::Turns;

use writing::Change;

/// What an engine may use.
#[derive(Debug, Clone, Copy)]
pub struct EngineLimits {
    /// The cache of opened documents.
    pub cache: CacheLimits,
    /// Memory for the ordered keys of all databases, in bytes.
    pub key_index_bytes_max: usize,
    /// Entities in one batch.
    pub batch_entities_max: usize,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            cache: CacheLimits::default(),
            key_index_bytes_max: KEY_INDEX_BYTES_MAX,
            batch_entities_max: BATCH_ENTITIES_MAX,
        }
    }
}

/// Does what clients ask for over one store. Cheap to clone: every clone is the same engine.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    storage: Arc<dyn Storage>,
    sealer: Arc<Sealer>,
    schemas: Arc<Schemas>,
    clock: Arc<dyn Clock>,
    cache: Cache,
    index: KeyIndex,
    turns: Turns,
    limits: EngineLimits,
}

impl Engine {
    /// An engine over a store.
    pub fn new(
        storage: Arc<dyn Storage>,
        sealer: Arc<Sealer>,
        names: Arc<Names>,
        schemas: Arc<Schemas>,
        clock: Arc<dyn Clock>,
        limits: EngineLimits,
    ) -> Self {
        let index = KeyIndex::new(storage.clone(), names, limits.key_index_bytes_max);
        let cache = Cache::new(limits.cache);
        Self(Arc::new(Inner { storage, sealer, schemas, clock, cache, index, turns: Turns::new(), limits }))
    }

    /// What the cache did so far.
    pub fn cache_stats(&self) -> CacheStats {
        self.0.cache.stats()
    }

    /// The schemas that documents are checked against.
    pub fn schemas(&self) -> &Schemas {
        &self.0.schemas
    }

    /// Whether reads and writes can be expected to work now; the error says why not.
    pub async fn ready(&self) -> Result<()> {
        self.0.storage.ready().await
    }

    /// Runs a write to its end even if the caller goes away.
    async fn to_its_end<T: Send + 'static>(write: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let ended = tokio::spawn(write).await;
        ended.unwrap_or_else(|_| {
            Err(Error::outcome_unknown("the write was cut short; read the entity before repeating it"))
        })
    }
}

#[async_trait]
impl Entities for Engine {
    async fn get(&self, who: &Principal, id: &EntityId) -> Result<Entity> {
        who.require(Permission::Read, &id.database)?;
        let found = self.0.read(id).await?;
        found.ok_or_else(|| Error::not_found(format!("there is no entity {} in database {}", id.key, id.database)))
    }

    async fn put(&self, who: &Principal, id: &EntityId, document: Document, options: &PutOptions) -> Result<Written> {
        who.require(Permission::Write, &id.database)?;
        let schema = self.0.schemas.applicable(&id.database, options.schema.as_ref()).await?;
        if let Some(schema) = &schema {
            schema.check(&document)?;
        }
        let change = Change::Put { document, schema: schema.map(|schema| schema.named()) };
        let (this, id, precondition) = (self.0.clone(), id.clone(), options.precondition.clone());
        let written = Self::to_its_end(async move { this.write(&id, change, &precondition).await }).await?;
        written.ok_or_else(|| Error::internal("a put wrote nothing"))
    }

    async fn put_many(
        &self,
        who: &Principal,
        database: &DatabaseName,
        documents: Vec<(EntityKey, Document)>,
        schema: Option<&SchemaId>,
    ) -> Result<Vec<Result<Written>>> {
        who.require(Permission::Write, database)?;
        self.0.check_batch(&documents)?;
        let schema = self.0.schemas.applicable(database, schema).await?;
        if let Some(schema) = &schema {
            schema.check_all(&documents)?;
        }
        let schema = schema.map(|schema| schema.named());
        let (this, database) = (self.0.clone(), database.clone());
        Self::to_its_end(async move { this.write_many(&database, documents, schema).await }).await
    }

    async fn delete(&self, who: &Principal, id: &EntityId, precondition: &Precondition) -> Result<bool> {
        who.require(Permission::Write, &id.database)?;
        let (this, id, precondition) = (self.0.clone(), id.clone(), precondition.clone());
        let write = async move { this.write(&id, Change::Delete, &precondition).await };
        Ok(Self::to_its_end(write).await?.is_some())
    }

    async fn list(&self, who: &Principal, database: &DatabaseName, query: &ListQuery) -> Result<Page> {
        who.require(Permission::Read, database)?;
        self.0.index.list(database, query).await
    }

    async fn databases(&self, who: &Principal) -> Result<Vec<DatabaseName>> {
        who.require_somewhere(Permission::Read)?;
        let all = self.0.index.databases().await?;
        Ok(all.into_iter().filter(|database| who.may(Permission::Read, database)).collect())
    }
}

impl Inner {
    async fn read(&self, id: &EntityId) -> Result<Option<Entity>> {
        let now = self.clock.now();
        let found = match self.cache.get(id, now) {
            Some(cached) if self.is_current(id, &cached).await? => Some(cached.entity),
            _ => self.fetch(id).await?,
        };
        Ok(found.filter(|entity| entity.meta.expires.is_none_or(|expires| expires > now)))
    }

    /// Whether a cached document may be served: always where this process owns the store, else if the storage says so.
    async fn is_current(&self, id: &EntityId, cached: &Cached) -> Result<bool> {
        if !self.storage.capabilities().shared {
            return Ok(true);
        }
        let head = self.storage.head(&self.sealer.names().entity(id).object).await?;
        let same = head.is_some_and(|head| head.revision == cached.revision);
        if !same {
            self.cache.remove(id);
        }
        Ok(same)
    }

    async fn fetch(&self, id: &EntityId) -> Result<Option<Entity>> {
        let address = self.sealer.names().entity(id);
        let ticket = self.cache.ticket(id);
        let Some(stored) = self.storage.get(&address.object).await? else { return Ok(None) };
        let opened = self.sealer.open(id, &address, &stored.bytes)?;
        let Some(document) = opened.document else { return Ok(None) };
        let entity = Entity { document, meta: Arc::new(opened.meta) };
        ticket.redeem(Cached { entity: entity.clone(), revision: stored.revision }, self.clock.now());
        Ok(Some(entity))
    }
}
