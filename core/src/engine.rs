//! The data plane: what the product does with a document, on this machine.
//!
//! `require ▸ validate ▸ seal ▸ store ▸ cache`, in that order, and nothing is optional. The storage decides every race by
//! compare-and-swap; memory only remembers. The surprise: a write that has started runs to its end in a task of its own,
//! whether or not the client still waits.

mod dropping;
mod hands;
mod stats;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::auth::{Permission, Principal};
use crate::cache::{Cache, CacheLimits, CacheStats, Cached};
use crate::clock::{Clock, Timestamp};
use crate::databases::{Databases, Settings};
use crate::document::Document;
use crate::entities::{
    BATCH_BYTES_MAX, BATCH_ENTITIES_MAX, Entities, Entity, KeyMeta, ListQuery, ListedKey, Page, Precondition,
    PutOptions, Written,
};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{IndexLimits, KEY_INDEX_BYTES_MAX, KeyIndex, LIST_MAX_STALE};
use crate::name::{DatabaseName, EntityId, EntityKey, SchemaId};
use crate::patch::{Patch, PatchLimits};
use crate::records::Records;
use crate::schemas::{Applicable, Schemas};
use crate::seal::{self, Sealer};
use crate::storage::{Space, Storage};
use crate::turns::Turns;
use crate::validator::Validator;

pub use hands::{Hands, Kept};
pub use stats::EngineStats;

/// How often a write without a precondition is tried while others take the versions before it.
const ATTEMPTS_MAX: usize = 32;
/// How many entities or heads of one request are read from the storage at the same time.
const READS_AT_ONCE: usize = 32;

/// What an engine may use.
#[derive(Debug, Clone, Copy)]
pub struct EngineLimits {
    /// The cache of opened documents.
    pub cache: CacheLimits,
    /// How long a cached document is served without asking a storage that other processes write too.
    pub cache_max_stale: Duration,
    /// Memory for the ordered keys of all databases, in bytes.
    pub key_index_bytes_max: usize,
    /// How old a listing may be where other processes write the storage too.
    pub list_max_stale: Duration,
    /// Entities in one batch, written or read.
    pub batch_entities_max: usize,
    /// Bytes of documents that one read of many answers.
    pub batch_bytes_max: usize,
    /// What one patch may ask for.
    pub patch: PatchLimits,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            cache: CacheLimits::default(),
            cache_max_stale: Duration::ZERO,
            key_index_bytes_max: KEY_INDEX_BYTES_MAX,
            list_max_stale: LIST_MAX_STALE,
            batch_entities_max: BATCH_ENTITIES_MAX,
            batch_bytes_max: BATCH_BYTES_MAX,
            patch: PatchLimits::default(),
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
    databases: Arc<Databases>,
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
        validator: Arc<dyn Validator>,
        clock: Arc<dyn Clock>,
        limits: EngineLimits,
    ) -> Self {
        Self::made(storage, sealer, validator, clock, limits, false)
    }

    /// The same; `ruled` where a main has decided whatever this one is asked for.
    fn made(
        storage: Arc<dyn Storage>,
        sealer: Arc<Sealer>,
        validator: Arc<dyn Validator>,
        clock: Arc<dyn Clock>,
        limits: EngineLimits,
        ruled: bool,
    ) -> Self {
        let schemas = Arc::new(Schemas::new(storage.clone(), validator));
        let records = Records::new(storage.clone(), sealer.clone(), clock.clone(), Space::Databases);
        let databases = Databases::new(records, schemas.clone(), clock.clone());
        let databases = Arc::new(if ruled { databases.ruled() } else { databases });
        let of_index = IndexLimits { bytes_max: limits.key_index_bytes_max, max_stale: limits.list_max_stale };
        let index = KeyIndex::new(storage.clone(), sealer.names().clone(), clock.clone(), of_index);
        let cache = Cache::new(limits.cache);
        Self(Arc::new(Inner { storage, sealer, schemas, databases, clock, cache, index, turns: Turns::new(), limits }))
    }

    /// What the cache did so far.
    pub fn cache_stats(&self) -> CacheStats {
        self.0.cache.stats()
    }

    /// The schemas that documents are checked against.
    pub fn schemas(&self) -> &Schemas {
        &self.0.schemas
    }

    /// The settings of databases.
    pub fn databases(&self) -> &Databases {
        &self.0.databases
    }

    /// Whether reads and writes can be expected to work now; the error says why not.
    pub async fn ready(&self) -> Result<()> {
        self.0.storage.ready().await
    }

    /// The schema that applies to a write that a request makes in a database.
    async fn applicable(&self, database: &DatabaseName, named: Option<&SchemaId>) -> Result<Option<Applicable>> {
        let record = self.usable(database).await?;
        let none = Settings::default();
        let settings = record.as_ref().map_or(&none, |record| &record.settings);
        self.0.schemas.applicable(database, settings, named).await
    }
}

#[async_trait]
impl Entities for Engine {
    async fn get(&self, who: &Principal, id: &EntityId) -> Result<Entity> {
        who.require(Permission::Read, &id.database)?;
        self.usable(&id.database).await?;
        let found = self.0.read(id, self.0.limits.cache_max_stale).await?;
        found.ok_or_else(|| no_entity(id))
    }

    async fn put(&self, who: &Principal, id: &EntityId, document: Document, options: &PutOptions) -> Result<Written> {
        who.require(Permission::Write, &id.database)?;
        let schema = self.applicable(&id.database, options.schema.as_ref()).await?;
        Ok(self.keep(id, document, schema.as_ref(), &options.precondition).await?.written)
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
        let schema = self.applicable(database, schema).await?;
        if let Some(schema) = &schema {
            schema.check_all(&documents)?;
        }
        let kept = self.keep_many(database, documents, schema.map(|schema| schema.named())).await?;
        Ok(kept.into_iter().map(|kept| kept.map(|kept| kept.written)).collect())
    }

    async fn patch(&self, who: &Principal, id: &EntityId, patch: &Patch, options: &PutOptions) -> Result<Written> {
        who.require(Permission::Write, &id.database)?;
        let schema = self.applicable(&id.database, options.schema.as_ref()).await?;
        Ok(self.change(id, patch, schema.as_ref(), &options.precondition).await?.written)
    }

    async fn delete(&self, who: &Principal, id: &EntityId, precondition: &Precondition) -> Result<bool> {
        who.require(Permission::Write, &id.database)?;
        self.remove(id, precondition).await
    }

    async fn get_many(
        &self,
        who: &Principal,
        database: &DatabaseName,
        keys: &[EntityKey],
    ) -> Result<Vec<Option<Entity>>> {
        who.require(Permission::Read, database)?;
        self.usable(database).await?;
        self.0.read_many(database, keys).await
    }

    async fn list(&self, who: &Principal, database: &DatabaseName, query: &ListQuery) -> Result<Page> {
        who.require(Permission::Read, database)?;
        self.usable(database).await?;
        let page = self.0.index.list(database, query).await?;
        if query.metadata { self.0.with_metadata(database, page).await } else { Ok(page) }
    }

    async fn databases(&self, who: &Principal) -> Result<Vec<DatabaseName>> {
        who.require_somewhere(Permission::Read)?;
        let mut readable = self.0.index.databases().await?;
        readable.retain(|database| who.may(Permission::Read, database));
        let mut usable = Vec::with_capacity(readable.len());
        for database in readable {
            match self.usable(&database).await {
                Ok(_) => usable.push(database),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Ok(usable)
    }
}

fn no_entity(id: &EntityId) -> Error {
    Error::not_found(format!("there is no entity {} in database {}", id.key, id.database))
}

impl Inner {
    /// A document with a patch applied: on a thread of its own, because a hostile patch may take a second.
    async fn patched(&self, document: Document, patch: &Patch) -> Result<Document> {
        let (patch, limits) = (patch.clone(), self.limits.patch);
        let applied = tokio::task::spawn_blocking(move || patch.apply(&document, &limits)).await;
        applied.map_err(|error| Error::internal("a patch was cut short").with_source(error))?
    }

    async fn read(&self, id: &EntityId, max_stale: Duration) -> Result<Option<Entity>> {
        let now = self.clock.now();
        let found = match self.cache.get(id, now) {
            Some(cached) if self.is_current(id, &cached, now, max_stale).await? => Some(cached),
            _ => self.fetch(id).await?,
        };
        let living = found.filter(|cached| cached.meta.expires.is_none_or(|expires| expires > now));
        Ok(living.map(Cached::into_entity))
    }

    /// Many entities, in order, and no more bytes of them at once than the limit and what is just being read.
    async fn read_many(&self, database: &DatabaseName, keys: &[EntityKey]) -> Result<Vec<Option<Entity>>> {
        self.check_keys(keys)?;
        let reads: Vec<_> = keys.iter().map(|key| self.read_one(database, key)).collect();
        let mut reads = stream::iter(reads).buffered(READS_AT_ONCE);
        let (mut found, mut bytes) = (Vec::with_capacity(keys.len()), 0);
        while let Some(entity) = reads.try_next().await? {
            bytes += entity.as_ref().map_or(0, |entity: &Entity| entity.document.bytes().len());
            self.check_bytes(bytes)?;
            found.push(entity);
        }
        Ok(found)
    }

    fn check_keys(&self, keys: &[EntityKey]) -> Result<()> {
        let most = self.limits.batch_entities_max;
        if keys.is_empty() {
            return Err(Error::invalid("bad_json", "no key was asked for; name at least one"));
        }
        if keys.len() > most {
            let message = format!("{} keys in one request, and {most} are allowed; ask for fewer", keys.len());
            return Err(Error::too_large(message));
        }
        Ok(())
    }

    fn check_bytes(&self, bytes: usize) -> Result<()> {
        if bytes > self.limits.batch_bytes_max {
            let message = format!("the documents have more than {} bytes; ask for fewer", self.limits.batch_bytes_max);
            return Err(Error::too_large(message));
        }
        Ok(())
    }

    async fn read_one(&self, database: &DatabaseName, key: &EntityKey) -> Result<Option<Entity>> {
        let id = EntityId::new(database.clone(), key.clone());
        self.read(&id, self.limits.cache_max_stale).await.map_err(|error| error.context(key))
    }

    /// The same page with what each object's header says; a key that was deleted meanwhile is left out.
    async fn with_metadata(&self, database: &DatabaseName, mut page: Page) -> Result<Page> {
        let heads: Vec<_> = page.items.into_iter().map(|item| self.head_of(database, item)).collect();
        let read: Vec<Option<_>> = stream::iter(heads).buffered(READS_AT_ONCE).try_collect().await?;
        page.items = read.into_iter().flatten().collect();
        Ok(page)
    }

    async fn head_of(&self, database: &DatabaseName, item: ListedKey) -> Result<Option<ListedKey>> {
        let id = EntityId::new(database.clone(), item.key);
        let Some(head) = self.storage.head(&self.sealer.names().entity(&id).object).await? else { return Ok(None) };
        let meta = seal::peek(&head.start).map_err(|error| error.context(&id.key))?;
        let living = !meta.tombstone;
        let (etag, size_bytes) = (meta.etag(), head.size_bytes);
        let meta = KeyMeta { etag, updated: meta.updated, schema: meta.schema.map(|(id, _)| id) };
        Ok(living.then_some(ListedKey { key: id.key, size_bytes, meta: Some(meta) }))
    }

    /// Whether a cached document may be served now: always where this process owns the store, else if the storage says so,
    /// or said so not longer ago than `max_stale`.
    async fn is_current(&self, id: &EntityId, cached: &Cached, now: Timestamp, max_stale: Duration) -> Result<bool> {
        // A clock that was set back proves nothing.
        let is_young = cached.seen <= now && now < cached.seen.after(max_stale);
        if is_young || !self.storage.capabilities().shared {
            return Ok(true);
        }
        let head = self.storage.head(&self.sealer.names().entity(id).object).await?;
        let same = head.is_some_and(|head| head.revision == cached.revision);
        match same {
            true => self.cache.saw(id, &cached.revision, now),
            false => self.cache.remove(id),
        }
        Ok(same)
    }

    async fn fetch(&self, id: &EntityId) -> Result<Option<Cached>> {
        let address = self.sealer.names().entity(id);
        let ticket = self.cache.ticket(id);
        let seen = self.clock.now();
        let Some(stored) = self.storage.get(&address.object).await? else { return Ok(None) };
        let opened = self.sealer.open(id, &address, &stored.bytes)?;
        let Some(document) = opened.document else { return Ok(None) };
        let cached = Cached { document, meta: Arc::new(opened.meta), revision: stored.revision, seen };
        ticket.redeem(cached.clone(), self.clock.now());
        Ok(Some(cached))
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
