//! The data plane in two halves: a main decides, and a worker's [`Hands`] do what it decided.
//!
//! A main knows settings, schemas and keys of a listing, and never opens a document. A worker looks at no settings: each
//! request says which version of which schema applies, so a schema counts everywhere once its PUT is answered.

use std::sync::Arc;

use crate::auth::{Permission, Principal};
use crate::clock::Clock;
use crate::databases::Settings;
use crate::document::Document;
use crate::engine::{Engine, EngineLimits, EngineStats, no_entity};
use crate::entities::{Entity, Precondition, Written};
use crate::error::Result;
use crate::name::{DatabaseName, EntityId, EntityKey, SchemaId};
use crate::patch::Patch;
use crate::schemas::Applicable;
use crate::seal::Sealer;
use crate::storage::Storage;
use crate::validator::Validator;

/// What a write left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// What the client is told.
    pub written: Written,
    /// The size of the sealed object, for the listing.
    pub size_bytes: u64,
}

/// What a main decides and remembers.
impl Engine {
    /// Refuses who may not do this in a database, and everybody while it is being dropped.
    pub async fn admit(&self, who: &Principal, permission: Permission, database: &DatabaseName) -> Result<()> {
        who.require(permission, database)?;
        self.usable(database).await.map(drop)
    }

    /// The same for a write of documents, and which version of which schema they must match.
    pub async fn decide(
        &self,
        who: &Principal,
        database: &DatabaseName,
        named: Option<&SchemaId>,
    ) -> Result<Option<(SchemaId, u32)>> {
        who.require(Permission::Write, database)?;
        let record = self.usable(database).await?;
        let none = Settings::default();
        let settings = record.as_ref().map_or(&none, |record| &record.settings);
        let chosen = self.0.schemas.chosen(database, settings, named).await?;
        Ok(chosen.map(|(id, schema)| (id, schema.version)))
    }

    /// Refuses no key and too many.
    pub fn check_keys(&self, keys: &[EntityKey]) -> Result<()> {
        self.0.check_keys(keys)
    }

    /// Refuses documents of too many bytes in one answer.
    pub fn check_bytes(&self, bytes: usize) -> Result<()> {
        self.0.check_bytes(bytes)
    }

    /// Refuses no document, too many, and a key that is named twice.
    pub fn check_batch(&self, documents: &[(EntityKey, Document)]) -> Result<()> {
        self.0.check_batch(documents)
    }

    /// Takes note of a write that a worker did; `size_bytes` is `None` for a removal.
    pub fn record(&self, id: &EntityId, size_bytes: Option<u64>) {
        self.0.index.record(id, size_bytes);
    }

    /// Takes note that nobody knows what became of a write in a database.
    pub fn forget(&self, database: &DatabaseName) {
        self.0.index.forget(database);
    }
}

/// Does what a main decided. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hands(Engine);

impl Hands {
    /// Hands over a store.
    pub fn new(
        storage: Arc<dyn Storage>,
        sealer: Arc<Sealer>,
        validator: Arc<dyn Validator>,
        clock: Arc<dyn Clock>,
        limits: EngineLimits,
    ) -> Self {
        Self(Engine::made(storage, sealer, validator, clock, limits, true))
    }

    /// What they did so far.
    pub fn stats(&self) -> EngineStats {
        self.0.stats()
    }

    /// The entity, or `NotFound`.
    pub async fn get(&self, who: &Principal, id: &EntityId) -> Result<Entity> {
        who.require(Permission::Read, &id.database)?;
        let found = self.0.0.read(id, self.0.0.limits.cache_max_stale).await?;
        found.ok_or_else(|| no_entity(id))
    }

    /// Many entities, in the order they are asked for.
    pub async fn get_many(
        &self,
        who: &Principal,
        database: &DatabaseName,
        keys: &[EntityKey],
    ) -> Result<Vec<Option<Entity>>> {
        who.require(Permission::Read, database)?;
        self.0.0.read_many(database, keys).await
    }

    /// Refuses documents if any does not match the schema; nothing is written.
    pub async fn check(&self, schema: &(SchemaId, u32), documents: &[(EntityKey, Document)]) -> Result<()> {
        self.0.0.schemas.pinned(&schema.0, schema.1).await?.check_all(documents)
    }

    /// Writes an entity that matches the schema.
    pub async fn put(
        &self,
        who: &Principal,
        id: &EntityId,
        document: Document,
        schema: Option<&(SchemaId, u32)>,
        precondition: &Precondition,
    ) -> Result<Kept> {
        who.require(Permission::Write, &id.database)?;
        self.0.keep(id, document, self.schema(schema).await?.as_ref(), precondition).await
    }

    /// Writes many entities that match the schema, answered in order.
    pub async fn put_many(
        &self,
        who: &Principal,
        database: &DatabaseName,
        documents: Vec<(EntityKey, Document)>,
        schema: Option<&(SchemaId, u32)>,
    ) -> Result<Vec<Result<Kept>>> {
        who.require(Permission::Write, database)?;
        if let Some(schema) = self.schema(schema).await? {
            schema.check_all(&documents)?;
        }
        self.0.keep_many(database, documents, schema.cloned()).await
    }

    /// Changes a part of an entity; the result must match the schema.
    pub async fn patch(
        &self,
        who: &Principal,
        id: &EntityId,
        patch: &Patch,
        schema: Option<&(SchemaId, u32)>,
        precondition: &Precondition,
    ) -> Result<Kept> {
        who.require(Permission::Write, &id.database)?;
        self.0.change(id, patch, self.schema(schema).await?.as_ref(), precondition).await
    }

    /// Removes an entity, and says whether there was one.
    pub async fn delete(&self, who: &Principal, id: &EntityId, precondition: &Precondition) -> Result<bool> {
        who.require(Permission::Write, &id.database)?;
        self.0.remove(id, precondition).await
    }

    async fn schema(&self, decided: Option<&(SchemaId, u32)>) -> Result<Option<Applicable>> {
        match decided {
            Some((id, version)) => self.0.0.schemas.pinned(id, *version).await.map(Some),
            None => Ok(None),
        }
    }
}
