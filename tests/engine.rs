//! The contract of `Entities`, on the engine over each storage that is compiled in.

use std::sync::Arc;

use delta_core::builtin::memory::MemoryStorage;
use delta_core::clock::SystemClock;
use delta_core::conformance;
use delta_core::conformance::entities::{SCHEMA, SCHEMA_ID, Subject};
use delta_core::document::{DEPTH_MAX, Document};
use delta_core::engine::{Engine, EngineLimits};
use delta_core::schemas::Schemas;
use delta_core::storage::Storage;
use delta_core::{auth::Principal, name::SchemaId};
use delta_validator_jsonschema::JsonSchema;

/// An engine over an empty store with the one schema that the conformance suite expects.
async fn engine(storage: Arc<dyn Storage>, limits: EngineLimits) -> Subject {
    let schemas = Arc::new(Schemas::new(storage.clone(), Arc::new(JsonSchema)));
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

    async fn fixture() -> Subject {
        // The directory outlives the test: the store inside is open until the process ends.
        let directory = crate::support::directory().keep();
        let storage = EmbeddedStorage::open(&Config::new(directory.join("store"))).unwrap();
        engine(Arc::new(storage), EngineLimits::default()).await
    }

    delta_core::conformance::entities!(fixture);
}
