//! Writes: the next version is sealed for what is there now, and the storage says whether that was still so.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use tracing::Instrument;

use crate::address::Address;
use crate::cache::Cached;
use crate::clock::Timestamp;
use crate::document::Document;
use crate::engine::{ATTEMPTS_MAX, Engine, Inner, Kept, READS_AT_ONCE, no_entity};
use crate::entities::{Precondition, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::name::{DatabaseName, EntityId, EntityKey, SchemaId};
use crate::patch::Patch;
use crate::schemas::Applicable;
use crate::seal::{self, Meta, WriteId};
use crate::storage::{Expect, Object, Revision, Write};

/// What is stored under a name now, as far as a write needs to know.
struct Current {
    meta: Arc<Meta>,
    revision: Revision,
    /// Whether another process may have changed it since.
    is_memory: bool,
}

/// What a write makes of an entity.
pub(super) enum Change {
    Put { document: Document, schema: Option<(SchemaId, u32)> },
    Delete,
}

/// The next version of an entity, ready to be stored.
struct Planned {
    meta: Arc<Meta>,
    object: Option<Object>,
    expect: Expect,
    /// When it was planned, which was before it was stored.
    at: Timestamp,
}

impl Planned {
    fn kept(&self, created: bool) -> Kept {
        let size_bytes = self.object.as_ref().map_or(0, |object| object.bytes().len() as u64);
        Kept { written: Written { etag: self.meta.etag(), updated: self.meta.updated, created }, size_bytes }
    }
}

impl Engine {
    /// Writes a document that matches the schema.
    pub(super) async fn keep(
        &self,
        id: &EntityId,
        document: Document,
        schema: Option<&Applicable>,
        precondition: &Precondition,
    ) -> Result<Kept> {
        if let Some(schema) = schema {
            schema.check(&document)?;
        }
        let change = Change::Put { document, schema: schema.map(Applicable::named) };
        let (this, id, precondition) = (self.0.clone(), id.clone(), precondition.clone());
        let kept = Self::to_its_end(async move { this.write(&id, change, &precondition).await }).await?;
        kept.ok_or_else(|| Error::internal("a put wrote nothing"))
    }

    /// Changes a part of what is there; the result must match the schema.
    pub(super) async fn change(
        &self,
        id: &EntityId,
        patch: &Patch,
        schema: Option<&Applicable>,
        precondition: &Precondition,
    ) -> Result<Kept> {
        for _ in 0..ATTEMPTS_MAX {
            // What is current decides about the precondition, however old a read may be.
            let found = self.0.read(id, Duration::ZERO).await?;
            precondition.check(found.as_ref().map(|found| found.etag))?;
            let found = found.ok_or_else(|| no_entity(id))?;
            let document = self.0.patched(found.document, patch).await?;
            match self.keep(id, document, schema, &Precondition::Matches(vec![found.etag])).await {
                // What the caller demanded is checked again against what is there then.
                Err(error) if error.kind() == ErrorKind::PreconditionFailed => {}
                result => return result,
            }
        }
        Err(Error::conflict(format!("entity {} changed {ATTEMPTS_MAX} times meanwhile; try again", id.key)))
    }

    pub(super) async fn keep_many(
        &self,
        database: &DatabaseName,
        documents: Vec<(EntityKey, Document)>,
        schema: Option<(SchemaId, u32)>,
    ) -> Result<Vec<Result<Kept>>> {
        let (this, database) = (self.0.clone(), database.clone());
        Self::to_its_end(async move { this.write_many(&database, documents, schema).await }).await
    }

    pub(super) async fn remove(&self, id: &EntityId, precondition: &Precondition) -> Result<bool> {
        let (this, id, precondition) = (self.0.clone(), id.clone(), precondition.clone());
        let write = async move { this.write(&id, Change::Delete, &precondition).await };
        Ok(Self::to_its_end(write).await?.is_some())
    }

    /// Runs a write to its end even if the caller goes away.
    async fn to_its_end<T: Send + 'static>(write: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let ended = tokio::spawn(write.in_current_span()).await;
        ended.unwrap_or_else(|_| {
            Err(Error::outcome_unknown("the write was cut short; read the entity before repeating it"))
        })
    }
}

impl Inner {
    /// One write: read the head, seal the next version, compare and swap, and again if somebody was faster.
    pub(super) async fn write(
        &self,
        id: &EntityId,
        change: Change,
        precondition: &Precondition,
    ) -> Result<Option<Kept>> {
        let address = self.sealer.names().entity(id);
        let _turn = self.turns.take(id).await;
        // Under the turn, because a drop waits for every turn once it is marked.
        self.databases.usable(&id.database).await?;
        for _ in 0..ATTEMPTS_MAX {
            let current = self.current(id, &address).await?;
            let living = current.as_ref().filter(|current| !current.meta.tombstone);
            if let Err(refused) = precondition.check(living.map(|current| current.meta.etag())) {
                if !living.is_some_and(|living| living.is_memory) {
                    return Err(refused);
                }
                // What another process wrote meanwhile may be what was demanded.
                self.cache.remove(id);
                continue;
            }
            let created = living.is_none();
            if created && matches!(change, Change::Delete) {
                match self.nothing_there(&address, current.as_ref()).await {
                    Ok(()) => return Ok(None),
                    Err(error) => {
                        self.forget(id, error)?;
                        continue;
                    }
                }
            }
            let planned = self.plan(id, &address, current.as_ref(), &change)?;
            let result = match &planned.object {
                Some(object) => self.storage.put(&address.object, object, &planned.expect).await.map(Some),
                None => self.storage.delete(&address.object, &planned.expect).await.map(|()| None),
            };
            match result {
                Ok(revision) => {
                    self.remember(id, &change, &planned, revision);
                    return Ok(Some(planned.kept(created)));
                }
                Err(error) => self.forget(id, error)?,
            }
        }
        Err(Error::conflict(format!("entity {} changed {ATTEMPTS_MAX} times meanwhile; try again", id.key)))
    }

    pub(super) async fn write_many(
        &self,
        database: &DatabaseName,
        documents: Vec<(EntityKey, Document)>,
        schema: Option<(SchemaId, u32)>,
    ) -> Result<Vec<Result<Kept>>> {
        let changes: Vec<_> = documents
            .into_iter()
            .map(|(key, document)| {
                let id = EntityId::new(database.clone(), key);
                let address = self.sealer.names().entity(&id);
                (id, address, Change::Put { document, schema: schema.clone() })
            })
            .collect();
        let _turns = self.turns.take_all(changes.iter().map(|(id, ..)| id)).await;
        self.databases.usable(database).await?;
        let mut results: Vec<Option<Result<Kept>>> = changes.iter().map(|_| None).collect();
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
    async fn try_many(&self, changes: &[&(EntityId, Address, Change)]) -> Result<Vec<Option<Result<Kept>>>> {
        let heads: Vec<_> = changes.iter().map(|(id, address, _)| self.current(id, address)).collect();
        let currents: Vec<_> = stream::iter(heads).buffered(READS_AT_ONCE).try_collect().await?;
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
                    self.remember(id, change, &planned, revision);
                    let created = current.as_ref().is_none_or(|current| current.meta.tombstone);
                    Some(Ok(planned.kept(created)))
                }
                Err(error) => self.forget(id, error).err().map(Err),
            });
        }
        Ok(results)
    }

    /// Has the storage say that there is nothing: a write of unknown outcome may have left something that cannot be seen
    /// before a restart, or taken something away that is back after one.
    async fn nothing_there(&self, address: &Address, tombstone: Option<&Current>) -> Result<()> {
        match tombstone {
            Some(_) => self.storage.ready().await,
            None => self.storage.delete(&address.object, &Expect::Absent).await,
        }
    }

    /// What is stored now: from memory, since the storage decides anyway, else its head.
    async fn current(&self, id: &EntityId, address: &Address) -> Result<Option<Current>> {
        if let Some(cached) = self.cache.peek(id) {
            let is_memory = self.storage.capabilities().shared;
            return Ok(Some(Current { meta: cached.meta, revision: cached.revision, is_memory }));
        }
        let Some(head) = self.storage.head(&address.object).await? else { return Ok(None) };
        let meta = Arc::new(seal::peek(&head.start)?);
        Ok(Some(Current { meta, revision: head.revision, is_memory: false }))
    }

    /// The next version, sealed, and what it expects to replace.
    fn plan(&self, id: &EntityId, address: &Address, current: Option<&Current>, change: &Change) -> Result<Planned> {
        let now = self.clock.now();
        let before = current.map(|current| &*current.meta);
        let (document, schema) = match change {
            Change::Put { document, schema } => (Some(document), schema.clone()),
            Change::Delete => (None, None),
        };
        let updated = before.map_or(now, |before| now.max(Timestamp(before.updated.0 + 1)));
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
        Ok(Planned { meta: Arc::new(meta), object, expect, at: now })
    }

    fn remember(&self, id: &EntityId, change: &Change, planned: &Planned, revision: Option<Revision>) {
        match (change, revision) {
            (Change::Put { document, .. }, Some(revision)) => {
                let (document, meta) = (document.clone(), planned.meta.clone());
                let cached = Cached { document, meta, revision, seen: planned.at };
                self.cache.insert(id.clone(), cached, self.clock.now());
                self.index.record(id, planned.object.as_ref().map(|object| object.bytes().len() as u64));
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

    pub(super) fn check_batch(&self, documents: &[(EntityKey, Document)]) -> Result<()> {
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
