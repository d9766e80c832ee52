//! The flags about a directory that processes share, as the settings of the storage that they choose.
//!
//! A flag that the chosen storage has no use for is refused: whoever gave it expects something of it.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::Config;

/// Where `fs` keeps a store unless it is told otherwise.
const SHARED_FS: &str = "./shared/db";
/// Where `embedded` looks for schemas, in the data directory.
const TEMPLATES: &str = "templates";
/// The storage where nothing chooses one.
const EMBEDDED: &str = "embedded";
/// The storage that `--shared-fs` chooses.
const FS: &str = "fs";

/// When sidecars are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sidecar {
    Lazy,
    Sync,
    Off,
}

impl Config {
    /// Lets a main's workers open the store too, where several processes can.
    pub(super) fn share_store(&mut self) {
        let has_workers = self.join_token_file.is_some() || self.cluster_ca.is_some() || self.dev;
        if !self.multi_main && has_workers {
            self.open_as("main");
        }
    }

    fn open_as(&mut self, access: &str) {
        if self.storage.plugin == FS || (self.storage.plugin.is_empty() && self.shared_fs.is_some()) {
            self.storage.settings.entry("access").or_insert_with(|| access.into());
        }
    }

    /// The same for a worker, which works over no store that only one process can open.
    pub(super) fn share_store_of_worker(&mut self) {
        if self.storage.plugin.is_empty() {
            self.storage.plugin = FS.into();
        }
        self.open_as("worker");
    }

    /// Chooses the storage, and gives it what the flags say.
    pub(super) fn settle_storage(&mut self) -> Result<()> {
        if self.storage.plugin.is_empty() {
            self.storage.plugin = if self.shared_fs.is_some() { FS } else { EMBEDDED }.into();
        }
        if self.storage.plugin == FS {
            let path = self.shared_fs.clone();
            self.give("path", "--shared-fs", path.as_deref().map(text))?;
            self.storage.settings.entry("path").or_insert_with(|| SHARED_FS.into());
            self.give("access", "--multi-main", self.multi_main.then(|| "shared".into()))?;
            self.give("sidecar", "--sidecar", self.sidecar.map(|sidecar| json!(sidecar)))?;
            let templates = self.templates_dir.clone();
            self.give("templates_dir", "--templates-dir", templates.as_deref().map(text))?;
        } else {
            self.refuse("--shared-fs", self.shared_fs.is_some())?;
            self.refuse("--multi-main", self.multi_main)?;
            self.refuse("--sidecar", self.sidecar.is_some())?;
            self.refuse("--templates-dir", self.templates_dir.is_some() && self.storage.plugin != EMBEDDED)?;
        }
        let given = [("--cache-max-stale", self.cache_max_stale), ("--list-max-stale", self.list_max_stale)];
        match given.into_iter().find(|(_, given)| given.is_some()) {
            Some((flag, _)) if self.is_alone() => {
                bail!("{flag} is for a store that other processes write too, and this one has its own; leave it out")
            }
            _ => Ok(()),
        }
    }

    /// The directory of the store, where that is one.
    pub(crate) fn store_directory(&self) -> Option<PathBuf> {
        match self.storage.settings.get("path") {
            Some(path) => path.as_str().map(PathBuf::from),
            None => (self.storage.plugin == EMBEDDED).then(|| self.data_dir.join("store")),
        }
    }

    /// The directory of the schemas, where the storage has no place for them that people can reach: as given, else beside
    /// the data if somebody made it there.
    pub(crate) fn templates_elsewhere(&self) -> Option<PathBuf> {
        let beside = self.data_dir.join(TEMPLATES);
        let directory = self.templates_dir.clone().or_else(|| beside.is_dir().then_some(beside));
        directory.filter(|_| self.storage.plugin == EMBEDDED)
    }

    /// Whether this process needs a data directory of its own.
    pub(crate) fn needs_data_dir(&self) -> bool {
        self.dev || self.storage.plugin != FS
    }

    /// Whether it is known that no other process writes the store.
    fn is_alone(&self) -> bool {
        match self.storage.plugin.as_str() {
            FS => self.storage.settings.get("access").is_none_or(|access| access == "alone"),
            plugin => [EMBEDDED, "memory"].contains(&plugin),
        }
    }

    /// Sets a setting of the storage from a flag, unless its own table does so already.
    fn give(&mut self, setting: &str, flag: &str, value: Option<Value>) -> Result<()> {
        let Some(value) = value else { return Ok(()) };
        match self.storage.settings.insert(setting.into(), value.clone()) {
            Some(before) if before != value => {
                bail!("{flag} and the setting {setting} of [storage] say different things; give one of them")
            }
            _ => Ok(()),
        }
    }

    fn refuse(&self, flag: &str, is_given: bool) -> Result<()> {
        if is_given {
            bail!("{flag} is for the storage {FS}, and {} is chosen; leave one of them out", self.storage.plugin);
        }
        Ok(())
    }
}

fn text(path: &Path) -> Value {
    path.to_string_lossy().into_owned().into()
}
