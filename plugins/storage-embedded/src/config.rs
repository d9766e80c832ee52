//! The settings of this plug-in.

use std::path::PathBuf;

use serde::Deserialize;

/// The settings of this plug-in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory; made if it does not exist.
    pub path: PathBuf,
    /// Memory for blocks that were read, in bytes.
    #[serde(default = "cache_bytes")]
    pub cache_bytes: u64,
    /// Memory for writes that are not in a table yet, in bytes.
    #[serde(default = "write_buffer_bytes")]
    pub write_buffer_bytes: u64,
    /// The largest log before its writes are moved into tables, in bytes.
    #[serde(default = "journal_bytes")]
    pub journal_bytes: u64,
    /// The most writes that share one fdatasync.
    #[serde(default = "commit_writes_max")]
    pub commit_writes_max: usize,
    /// The most writes that wait; one more is refused as unavailable.
    #[serde(default = "waiting_writes_max")]
    pub waiting_writes_max: usize,
}

fn cache_bytes() -> u64 {
    32 << 20
}

fn write_buffer_bytes() -> u64 {
    32 << 20
}

fn journal_bytes() -> u64 {
    128 << 20
}

fn commit_writes_max() -> usize {
    4096
}

fn waiting_writes_max() -> usize {
    65_536
}

impl Config {
    /// The defaults for a directory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache_bytes: cache_bytes(),
            write_buffer_bytes: write_buffer_bytes(),
            journal_bytes: journal_bytes(),
            commit_writes_max: commit_writes_max(),
            waiting_writes_max: waiting_writes_max(),
        }
    }
}
