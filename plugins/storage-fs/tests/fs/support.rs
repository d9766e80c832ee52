//! Stores to try things on.

use std::path::Path;

use delta_core::conformance;
use delta_core::storage::{ObjectName, Space};
use delta_storage_fs::{Access, Config, FsStorage};

pub(crate) fn name(text: &str) -> ObjectName {
    conformance::name(Space::Entities, "0123abcd", text)
}

pub(crate) fn open(directory: &Path, access: Access) -> delta_core::Result<FsStorage> {
    FsStorage::open(&Config { access, ..Config::new(directory) })
}
