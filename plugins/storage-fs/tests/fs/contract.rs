//! The contract of every storage.

use std::path::Path;
use std::sync::Arc;

use delta_core::conformance::storage::Fixture;
use delta_core::storage::Storage;
use delta_storage_fs::Access;

use crate::support::open;

/// A store in a directory of its own, for one process.
struct Alone(tempfile::TempDir);

impl Fixture for Alone {
    async fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> Arc<dyn Storage> {
        Arc::new(open(self.0.path(), Access::Alone).unwrap())
    }
}

/// A store that other processes may have open.
struct Shared(tempfile::TempDir);

impl Fixture for Shared {
    async fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> Arc<dyn Storage> {
        Arc::new(open(self.0.path(), Access::Shared).unwrap())
    }
}

/// A shared store on a file system in memory, which has no journal to hide behind.
struct OnTmpfs(tempfile::TempDir);

impl Fixture for OnTmpfs {
    async fn new() -> Self {
        let memory = Path::new("/dev/shm");
        Self(if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() })
    }

    async fn open(&self) -> Arc<dyn Storage> {
        Arc::new(open(self.0.path(), Access::Shared).unwrap())
    }
}

mod alone {
    use super::*;
    delta_core::conformance::storage!(Alone);
}

mod shared {
    use super::*;
    delta_core::conformance::storage!(Shared);
}

mod tmpfs {
    use super::*;
    delta_core::conformance::storage!(OnTmpfs);
}
