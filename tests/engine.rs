//! The contract of `Entities`, on the engine over each storage that is compiled in.

use std::sync::Arc;

use async_trait::async_trait;
use delta_core::auth::Principal;
use delta_core::builtin::memory::MemoryStorage;
use delta_core::clock::SystemClock;
use delta_core::conformance::entities::{SCHEMA, SCHEMA_ID, Subject};
use delta_core::document::{DEPTH_MAX, Document};
use delta_core::engine::{Engine, EngineLimits};
use delta_core::entities::{Entities, Entity, ListQuery, Page, Precondition, PutOptions, Written};
use delta_core::name::{DatabaseName, EntityId, EntityKey, SchemaId};
use delta_core::schemas::Schemas;
use delta_core::storage::Storage;
use delta_core::{Result, conformance};
use delta_validator_jsonschema::JsonSchema;
use tempfile::TempDir;

/// An engine over an empty store with the one schema that the conformance suite expects.
async fn engine(storage: Arc<dyn Storage>, limits: EngineLimits) -> Subject {
    let schemas = Arc::new(Schemas::new(storage.clone(), Arc::new(JsonSchema::default())));
    let source = Document::parse(SCHEMA.as_bytes(), DEPTH_MAX).unwrap();
    schemas.put(&Principal::admin(), &SchemaId::parse(SCHEMA_ID).unwrap(), source).await.unwrap();
    let (sealer, names) = (conformance::sealer(), conformance::names());
    Arc::new(Engine::new(storage, sealer, names, schemas, Arc::new(SystemClock), limits))
}

/// A cache so small that it holds next to nothing.
fn hardly_a_cache() -> EngineLimits {
    let mut limits = EngineLimits::default();
    limits.cache.entries_max = Some(1);
    limits
}

mod over_memory {
    use super::*;

    async fn fixture() -> Subject {
        engine(Arc::new(MemoryStorage::new()), EngineLimits::default()).await
    }

    delta_core::conformance::entities!(fixture);
}

mod over_memory_with_hardly_a_cache {
    use super::*;

    async fn fixture() -> Subject {
        engine(Arc::new(MemoryStorage::new()), hardly_a_cache()).await
    }

    delta_core::conformance::entities!(fixture);
}

mod over_embedded {
    use super::*;
    use delta_storage_embedded::{Config, EmbeddedStorage};

    /// An engine, and the directory that ends after it.
    #[derive(Debug)]
    struct Held(Subject, #[expect(dead_code, reason = "held for its end")] TempDir);

    #[async_trait]
    impl Entities for Held {
        async fn get(&self, who: &Principal, id: &EntityId) -> Result<Entity> {
            self.0.get(who, id).await
        }

        async fn put(
            &self,
            who: &Principal,
            id: &EntityId,
            document: Document,
            options: &PutOptions,
        ) -> Result<Written> {
            self.0.put(who, id, document, options).await
        }

        async fn put_many(
            &self,
            who: &Principal,
            database: &DatabaseName,
            documents: Vec<(EntityKey, Document)>,
            schema: Option<&SchemaId>,
        ) -> Result<Vec<Result<Written>>> {
            self.0.put_many(who, database, documents, schema).await
        }

        async fn delete(&self, who: &Principal, id: &EntityId, precondition: &Precondition) -> Result<bool> {
            self.0.delete(who, id, precondition).await
        }

        async fn list(&self, who: &Principal, database: &DatabaseName, query: &ListQuery) -> Result<Page> {
            self.0.list(who, database, query).await
        }

        async fn databases(&self, who: &Principal) -> Result<Vec<DatabaseName>> {
            self.0.databases(who).await
        }
    }

    async fn fixture() -> Subject {
        let directory = crate::support::directory();
        let storage = EmbeddedStorage::open(&Config::new(directory.path().join("store"))).unwrap();
        Arc::new(Held(engine(Arc::new(storage), EngineLimits::default()).await, directory))
    }

    delta_core::conformance::entities!(fixture);
}
