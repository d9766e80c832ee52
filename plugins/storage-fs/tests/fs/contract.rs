//! The contract of every storage.

use std::path::Path;
use std::sync::Arc;

use delta_core::conformance::storage::Fixture;
use delta_core::storage::Storage;
use delta_storage_fs::Access;

use crate::support::open;

/// A store that other processes may have open, on the file system of this machine's temporary files.
struct Shared(tempfile::TempDir);

impl Fixture for Shared {
    async fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> Arc<dyn Storage> {
        Arc::new(open(self.0.path(), Access::Shared).unwrap())
    }
}

/// A store for one process, on a file system in memory where there is one.
struct AloneOnTmpfs(tempfile::TempDir);

impl Fixture for AloneOnTmpfs {
    async fn new() -> Self {
        let memory = Path::new("/dev/shm");
        Self(if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() })
    }

    async fn open(&self) -> Arc<dyn Storage> {
        Arc::new(open(self.0.path(), Access::Alone).unwrap())
    }
}

mod shared {
    use super::*;
    delta_core::conformance::storage!(Shared);
}

mod alone_on_tmpfs {
    use super::*;
    delta_core::conformance::storage!(AloneOnTmpfs);
}
