//! Whether the keys that a worker has are those of the store now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use delta_core::storage::Storage;
use delta_core::superblock;

/// The generation that the keys at hand are of, beside the storage's own.
pub(crate) struct Currency {
    storage: Arc<dyn Storage>,
    generation: AtomicU64,
}

impl Currency {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, generation: AtomicU64::new(0) }
    }

    /// Keys of this generation are at hand; `false` where they were, or later ones.
    pub(super) fn has_become(&self, generation: u64) -> bool {
        self.generation.fetch_max(generation, Ordering::AcqRel) < generation
    }

    /// Whether the store has gone on without this worker, so that an unknown key is no damage.
    pub(super) async fn is_behind(&self) -> bool {
        let newest = superblock::newest(&*self.storage).await.ok().flatten();
        newest.is_some_and(|newest| newest > self.generation.load(Ordering::Acquire))
    }
}
