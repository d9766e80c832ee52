//! The settings of this plug-in.

use std::path::PathBuf;

use delta_core::{Error, Result};
use serde::Deserialize;

/// What the tree's log needs at least, in bytes: it is written in files of about this size.
const JOURNAL_BYTES_MIN: u64 = 64 << 20;
/// The smallest buffer that is not moved into tables all the time, in bytes.
const WRITE_BUFFER_BYTES_MIN: u64 = 1 << 20;

/// The settings of this plug-in: a directory, and limits whose defaults suit a server with a gigabyte of memory or more.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory; made if it does not exist, and of this process alone while it is open.
    pub path: PathBuf,
    /// Memory for parts of tables that were read, in bytes.
    #[serde(default = "cache_bytes")]
    pub cache_bytes: u64,
    /// How much is written into memory before it is moved into a table, in bytes; up to four times as much is in memory
    /// while the disk is slower than the writers.
    #[serde(default = "write_buffer_bytes")]
    pub write_buffer_bytes: u64,
    /// The largest log before its writes are moved into tables, in bytes: what a restart reads again.
    #[serde(default = "journal_bytes")]
    pub journal_bytes: u64,
    /// The most writes that share one fdatasync; a batch that has more by itself is not split.
    #[serde(default = "commit_writes_max")]
    pub commit_writes_max: usize,
    /// The most writes that wait for the disk; one more is refused as unavailable.
    #[serde(default = "waiting_writes_max")]
    pub waiting_writes_max: usize,
    /// The most bytes that wait for the disk; a write that would be more is refused as unavailable.
    #[serde(default = "waiting_bytes_max")]
    pub waiting_bytes_max: usize,
}

fn cache_bytes() -> u64 {
    32 << 20
}

fn write_buffer_bytes() -> u64 {
    16 << 20
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

fn waiting_bytes_max() -> usize {
    256 << 20
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
            waiting_bytes_max: waiting_bytes_max(),
        }
    }

    /// Refuses limits that cannot work, by name.
    pub(crate) fn check(&self) -> Result<()> {
        let at_least = |field: &str, value: u64, least: u64| match value < least {
            true => Err(Error::invalid(
                "invalid_setting",
                format!("settings of plug-in embedded: {field} must be at least {least}"),
            )),
            false => Ok(()),
        };
        at_least("write_buffer_bytes", self.write_buffer_bytes, WRITE_BUFFER_BYTES_MIN)?;
        at_least("journal_bytes", self.journal_bytes, JOURNAL_BYTES_MIN)?;
        at_least("commit_writes_max", self.commit_writes_max as u64, 1)?;
        at_least("waiting_writes_max", self.waiting_writes_max as u64, 1)?;
        at_least("waiting_bytes_max", self.waiting_bytes_max as u64, 1)
    }
}
