//! The files that a server is going to write: those that are there, and its next temporary ones.

use std::fs;
use std::path::{Path, PathBuf};

/// Every file below a directory.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The files below a directory that its server may write next.
pub(crate) fn written(root: &Path) -> Vec<PathBuf> {
    files(root)
}
