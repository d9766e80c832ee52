//! The data plane: what the product does with a document, on this machine.
//!
//! `require ▸ validate ▸ seal ▸ store ▸ cache`, in that order, and nothing is optional. The storage decides every race by
//! compare-and-swap; memory only remembers. The surprise: a write that has started runs to its end in a task of its own,
//! whether or not the client still waits.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::address::{Address, Names};
use crate::auth::{Permission, Principal};
use crate::cache::{Cache, CacheLimits, CacheStats, Cached};
use crate::clock::Clock;
use crate::document::Document;
use crate::entities::{BATCH_ENTITIES_MAX, Entities, Entity, ListQuery, Page, Precondition, PutOptions, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{KEY_INDEX_BYTES_MAX, KeyIndex};
use crate::name::{DatabaseName, EntityId, EntityKey, SchemaId};
use crate::schemas::Schemas;
use crate::seal::{self, Meta, Sealer, WriteId};
use crate::storage::{Expect, Object, Revision, Storage, Write};
use crate::turns::Turns;

/// How often a write without a precondition is tried while other processes take the versions before it.
const ATTEMPTS_MAX: usize = 32;
/// How many heads of a batch are read from the storage at the same time.
const HEADS_AT_ONCE: usize = 32;

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

/// What is stored under a name now, as far as a write needs to know.
struct Current {
    meta: Arc<Meta>,
    revision: Revision,
}

/// What a write makes of an entity.
enum Change {
    Put { document: Document, schema: Option<(SchemaId, u32)> },
    Delete,
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

    /// One write: read the head, seal the next version, compare and swap, and again if somebody was faster.
    async fn write(&self, id: &EntityId, change: Change, precondition: &Precondition) -> Result<Option<Written>> {
        let address = self.sealer.names().entity(id);
        let _turn = self.turns.take(id).await;
        for _ in 0..ATTEMPTS_MAX {
            let current = self.current(id, &address).await?;
            let living = current.as_ref().filter(|current| !current.meta.tombstone);
            precondition.check(living.map(|current| &*current.meta))?;
            let created = living.is_none();
            if created && matches!(change, Change::Delete) {
                return Ok(None);
            }
            let planned = self.plan(id, &address, current.as_ref(), &change)?;
            let size_bytes = planned.object.as_ref().map(|object| object.bytes().len() as u64);
            let result = match &planned.object {
                Some(object) => self.storage.put(&address.object, object, &planned.expect).await.map(Some),
                None => self.storage.delete(&address.object, &planned.expect).await.map(|()| None),
            };
            match result {
                Ok(revision) => {
                    self.remember(id, &change, &planned.meta, revision, size_bytes);
                    return Ok(Some(Written { meta: planned.meta, created }));
                }
                Err(error) => self.forget(id, error)?,
            }
        }
        Err(Error::conflict(format!("entity {} changed {ATTEMPTS_MAX} times meanwhile; try again", id.key)))
    }

    async fn write_many(
        &self,
        database: &DatabaseName,
        documents: Vec<(EntityKey, Document)>,
        schema: Option<(SchemaId, u32)>,
    ) -> Result<Vec<Result<Written>>> {
        let changes: Vec<_> = documents
            .into_iter()
            .map(|(key, document)| {
                let id = EntityId::new(database.clone(), key);
                let address = self.sealer.names().entity(&id);
                (id, address, Change::Put { document, schema: schema.clone() })
            })
            .collect();
        let _turns = self.turns.take_all(changes.iter().map(|(id, ..)| id)).await;
        let mut results: Vec<Option<Result<Written>>> = changes.iter().map(|_| None).collect();
        for _ in 0..ATTEMPTS_MAX {
            let open: Vec<_> = (0..changes.len()).filter(|at| results.get(*at).is_some_and(Option::is_none)).collect();
            if open.is_empty() {
                break;
            }
            let subset: Vec<_> = open.iter().filter_map(|at| changes.get(*at)).collect();
            for (at, result) in open.into_iter().zip(self.try_many(&subset).await?) {
                if let Some(slot) = results.get_mut(at) {
                    *slot = result;
                }
            }
        }
        let lost = || Err(Error::conflict(format!("the entity changed {ATTEMPTS_MAX} times meanwhile; try again")));
        Ok(results.into_iter().map(|result| result.unwrap_or_else(lost)).collect())
    }

    /// One attempt at a batch; `None` for what somebody else changed in between.
    async fn try_many(&self, changes: &[&(EntityId, Address, Change)]) -> Result<Vec<Option<Result<Written>>>> {
        let heads: Vec<_> = changes.iter().map(|(id, address, _)| self.current(id, address)).collect();
        let currents: Vec<_> = stream::iter(heads).buffered(HEADS_AT_ONCE).try_collect().await?;
        let mut planned = Vec::with_capacity(changes.len());
        for ((id, address, change), current) in changes.iter().zip(&currents) {
            planned.push(self.plan(id, address, current.as_ref(), change)?);
        }
        let writes = changes.iter().zip(&planned).map(|((_, address, _), planned)| Write {
            name: address.object.clone(),
            object: planned.object.clone(),
            expect: planned.expect.clone(),
        });
        let answers = match self.storage.write_batch(writes.collect()).await {
            Ok(answers) => answers,
            Err(error) => {
                changes.iter().for_each(|(id, ..)| drop(self.forget(id, Error::outcome_unknown(""))));
                return Err(error);
            }
        };
        let mut results = Vec::with_capacity(changes.len());
        for ((((id, _, change), current), planned), answer) in changes.iter().zip(&currents).zip(planned).zip(answers) {
            results.push(match answer {
                Ok(revision) => {
                    let size_bytes = planned.object.as_ref().map(|object| object.bytes().len() as u64);
                    self.remember(id, change, &planned.meta, revision, size_bytes);
                    let created = current.as_ref().is_none_or(|current| current.meta.tombstone);
                    Some(Ok(Written { meta: planned.meta, created }))
                }
                Err(error) => self.forget(id, error).err().map(Err),
            });
        }
        Ok(results)
    }

    /// What is stored now: from memory, since the storage decides anyway, else its head.
    async fn current(&self, id: &EntityId, address: &Address) -> Result<Option<Current>> {
        if let Some(cached) = self.cache.peek(id) {
            return Ok(Some(Current { meta: cached.entity.meta, revision: cached.revision }));
        }
        let Some(head) = self.storage.head(&address.object).await? else { return Ok(None) };
        let meta = Arc::new(seal::peek(&head.start)?);
        Ok(Some(Current { meta, revision: head.revision }))
    }

    /// The next version, sealed, and what it expects to replace.
    fn plan(&self, id: &EntityId, address: &Address, current: Option<&Current>, change: &Change) -> Result<Planned> {
        let now = self.clock.now();
        let before = current.map(|current| &*current.meta);
        let (document, schema) = match change {
            Change::Put { document, schema } => (Some(document), schema.clone()),
            Change::Delete => (None, None),
        };
        let updated = before.map_or(now, |before| now.max(crate::clock::Timestamp(before.updated.0 + 1)));
        let meta = Meta {
            version: before.map_or(0, |before| before.version) + 1,
            created: before.filter(|before| !before.tombstone).map_or(updated, |before| before.created),
            updated,
            expires: None,
            schema,
            write_id: WriteId::random()?,
            tombstone: document.is_none(),
        };
        let removes = document.is_none() && self.storage.capabilities().conditional_delete;
        let empty = Document::empty();
        let object = match removes {
            true => None,
            false => Some(Object::Sealed(self.sealer.seal(id, address, document.unwrap_or(&empty), &meta)?)),
        };
        let expect = current.map_or(Expect::Absent, |current| Expect::Revision(current.revision.clone()));
        Ok(Planned { meta: Arc::new(meta), object, expect })
    }

    fn remember(
        &self,
        id: &EntityId,
        change: &Change,
        meta: &Arc<Meta>,
        revision: Option<Revision>,
        size_bytes: Option<u64>,
    ) {
        match (change, revision) {
            (Change::Put { document, .. }, Some(revision)) => {
                let entity = Entity { document: document.clone(), meta: meta.clone() };
                self.cache.insert(id.clone(), Cached { entity, revision }, self.clock.now());
                self.index.record(id, size_bytes);
            }
            _ => {
                self.cache.remove(id);
                self.index.record(id, None);
            }
        }
    }

    /// After a failed write memory is not to be trusted; only a conflict may be tried again.
    fn forget(&self, id: &EntityId, error: Error) -> Result<()> {
        self.cache.remove(id);
        match error.kind() {
            ErrorKind::Conflict => Ok(()),
            ErrorKind::OutcomeUnknown => {
                self.index.forget(&id.database);
                Err(error)
            }
            _ => Err(error),
        }
    }

    fn check_batch(&self, documents: &[(EntityKey, Document)]) -> Result<()> {
        let most = self.limits.batch_entities_max;
        if documents.is_empty() {
            return Err(Error::invalid("bad_json", "the object must have at least one member: {\"key\": document, …}"));
        }
        if documents.len() > most {
            let message = format!("{} entities in one request, and {most} are allowed; send several", documents.len());
            return Err(Error::too_large(message));
        }
        let mut keys: Vec<_> = documents.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(Error::invalid("bad_json", "a key is named twice in one request"));
        }
        Ok(())
    }
}

/// The next version of an entity, ready to be stored.
struct Planned {
    meta: Arc<Meta>,
    object: Option<Object>,
    expect: Expect,
}
