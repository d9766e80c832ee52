//! Two of the same in turn: what holds for one holds for a client that meets both.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use delta_core::Result;
use delta_core::auth::Principal;
use delta_core::document::Document;
use delta_core::engine::Engine;
use delta_core::entities::{Entities, Entity, ListQuery, Page, Precondition, PutOptions, Written};
use delta_core::name::{DatabaseName, EntityId, EntityKey, SchemaId};
use delta_core::patch::Patch;

/// Each operation is done by the engine that did not do the one before.
#[derive(Debug)]
pub(super) struct Alternating {
    engines: [Engine; 2],
    operations: AtomicUsize,
}

impl Alternating {
    pub(super) fn new(engines: [Engine; 2]) -> Self {
        Self { engines, operations: AtomicUsize::new(0) }
    }

    fn next(&self) -> &Engine {
        &self.engines[self.operations.fetch_add(1, Ordering::Relaxed) % 2]
    }
}

#[async_trait]
impl Entities for Alternating {
    async fn get(&self, who: &Principal, id: &EntityId) -> Result<Entity> {
        self.next().get(who, id).await
    }

    async fn put(&self, who: &Principal, id: &EntityId, document: Document, options: &PutOptions) -> Result<Written> {
        self.next().put(who, id, document, options).await
    }

    async fn put_many(
        &self,
        who: &Principal,
        database: &DatabaseName,
        documents: Vec<(EntityKey, Document)>,
        schema: Option<&SchemaId>,
    ) -> Result<Vec<Result<Written>>> {
        self.next().put_many(who, database, documents, schema).await
    }

    async fn patch(&self, who: &Principal, id: &EntityId, patch: &Patch, options: &PutOptions) -> Result<Written> {
        self.next().patch(who, id, patch, options).await
    }

    async fn delete(&self, who: &Principal, id: &EntityId, precondition: &Precondition) -> Result<bool> {
        self.next().delete(who, id, precondition).await
    }

    async fn get_many(&self, who: &Principal, db: &DatabaseName, keys: &[EntityKey]) -> Result<Vec<Option<Entity>>> {
        self.next().get_many(who, db, keys).await
    }

    async fn list(&self, who: &Principal, database: &DatabaseName, query: &ListQuery) -> Result<Page> {
        self.next().list(who, database, query).await
    }

    async fn databases(&self, who: &Principal) -> Result<Vec<DatabaseName>> {
        Entities::databases(self.next(), who).await
    }
}
