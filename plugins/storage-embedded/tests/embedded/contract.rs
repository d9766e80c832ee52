//! The contract of every storage.

use std::sync::Arc;

use delta_core::conformance::storage::Fixture;
use delta_core::storage::Storage;

use crate::support::open;

/// A store in a directory of its own.
struct InDirectory(tempfile::TempDir);

impl Fixture for InDirectory {
    async fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> Arc<dyn Storage> {
        Arc::new(open(self.0.path()).unwrap())
    }
}

delta_core::conformance::storage!(InDirectory);
