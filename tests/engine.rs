//! The contract of `Entities`, on the engine over each storage that is compiled in.

mod alternating;

use std::sync::Arc;
use std::time::Duration;

use delta_core::auth::Principal;
use delta_core::builtin::memory::MemoryStorage;
use delta_core::clock::SystemClock;
use delta_core::conformance;
use delta_core::conformance::entities::{SCHEMA, SCHEMA_ID, Subject};
use delta_core::document::{DEPTH_MAX, Document};
use delta_core::engine::{Engine, EngineLimits};
use delta_core::name::SchemaId;
use delta_core::storage::Storage;
use delta_validator_jsonschema::JsonSchema;

/// An engine over an empty store with the one schema that the conformance suite expects.
async fn engine(storage: Arc<dyn Storage>, limits: EngineLimits) -> Engine {
    let validator = Arc::new(JsonSchema::default());
    let engine = Engine::new(storage, conformance::sealer(), validator, Arc::new(SystemClock), limits);
    let source = Document::parse(SCHEMA.as_bytes(), DEPTH_MAX).unwrap();
    let schema = SchemaId::parse(SCHEMA_ID).unwrap();
    engine.schemas().put(&Principal::admin(), &schema, source).await.unwrap();
    engine
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
        Subject::new(engine(Arc::new(MemoryStorage::new()), EngineLimits::default()).await)
    }

    delta_core::conformance::entities!(fixture);
}

mod over_memory_with_hardly_a_cache {
    use super::*;

    async fn fixture() -> Subject {
        Subject::new(engine(Arc::new(MemoryStorage::new()), hardly_a_cache()).await)
    }

    delta_core::conformance::entities!(fixture);
}

/// Two engines over one store, as two processes have them: each operation is done by the one that did not do the last.
mod over_a_shared_storage {
    use super::*;

    async fn fixture() -> Subject {
        let storage = Arc::new(MemoryStorage::with(|capabilities| capabilities.shared = true));
        let limits = EngineLimits { list_max_stale: Duration::ZERO, ..EngineLimits::default() };
        let engines = [engine(storage.clone(), limits).await, engine(storage, limits).await];
        Subject::new(alternating::Alternating::new(engines))
    }

    delta_core::conformance::entities!(fixture);
}

mod over_embedded {
    use super::*;
    use delta_storage_embedded::{Config, EmbeddedStorage};

    async fn fixture() -> Subject {
        let directory = crate::support::directory();
        let storage = EmbeddedStorage::open(&Config::new(directory.path().join("store"))).unwrap();
        Subject::new(engine(Arc::new(storage), EngineLimits::default()).await).keeping(directory)
    }

    delta_core::conformance::entities!(fixture);
}
