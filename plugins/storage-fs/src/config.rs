//! The settings of this plug-in.

use std::path::PathBuf;

use delta_core::{Error, Result};
use serde::Deserialize;

/// Who else may have the directory open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Nobody: memory can be trusted, and a second process is refused.
    #[default]
    Alone,
    /// Any process that says the same, and workers.
    Shared,
    /// Workers, and nobody else: this is the one main of the store.
    Main,
    /// A main, or several, and other workers.
    Worker,
}

/// When the derived view beside each object is written, for people and tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sidecar {
    /// Shortly after the object, and at the latest when the store is closed.
    #[default]
    Lazy,
    /// Before the write is answered.
    Sync,
    /// Never.
    Off,
}

/// The settings of this plug-in: a directory, who shares it, and limits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory; made if it does not exist.
    pub path: PathBuf,
    /// Who else may have it open.
    #[serde(default)]
    pub access: Access,
    /// When sidecars are written.
    #[serde(default)]
    pub sidecar: Sidecar,
    /// Where schemas lie, if not in `templates` below the directory.
    #[serde(default)]
    pub templates_dir: Option<PathBuf>,
    /// The most writes that share their syncs; each needs two open files meanwhile.
    #[serde(default = "commit_writes_max")]
    pub commit_writes_max: usize,
    /// The most writes that wait for the disk; one more is refused as unavailable.
    #[serde(default = "waiting_writes_max")]
    pub waiting_writes_max: usize,
    /// The most bytes that wait for the disk; a write that would be more is refused as unavailable.
    #[serde(default = "waiting_bytes_max")]
    pub waiting_bytes_max: usize,
}

fn commit_writes_max() -> usize {
    1024
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
            access: Access::default(),
            sidecar: Sidecar::default(),
            templates_dir: None,
            commit_writes_max: commit_writes_max(),
            waiting_writes_max: waiting_writes_max(),
            waiting_bytes_max: waiting_bytes_max(),
        }
    }

    /// Refuses limits that cannot work, by name.
    pub(crate) fn check(&self) -> Result<()> {
        let limits = [
            ("commit_writes_max", self.commit_writes_max),
            ("waiting_writes_max", self.waiting_writes_max),
            ("waiting_bytes_max", self.waiting_bytes_max),
        ];
        match limits.iter().find(|(_, value)| *value == 0) {
            Some((field, _)) => {
                let message = format!("settings of plug-in fs: {field} must be at least 1");
                Err(Error::invalid("invalid_setting", message))
            }
            None => Ok(()),
        }
    }
}
