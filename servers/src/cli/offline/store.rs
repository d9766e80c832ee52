//! Opening a store that exists, to look at it: its storage with the lock, its superblocks with the keys at hand.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use delta_core::check::Check;
use delta_core::generations::{self, Generation};
use delta_core::keys::MasterKey;
use delta_core::plugin::{Settings, open_storage};
use delta_core::seal::Sealer;
use delta_core::storage::Storage;
use delta_core::superblock::{self, Superblock};
use serde_json::{Map, Value};

use crate::config::Config;
use crate::plugins;
use crate::roles::keys;
use crate::secrets::Secrets;
use crate::templates;

/// A storage plug-in, and the directory where it keeps the store.
#[derive(Debug, Clone)]
pub(super) struct Place {
    plugin: String,
    settings: Map<String, Value>,
    path: Option<PathBuf>,
    /// Where schemas may be instead, and where that is written down.
    templates: Option<PathBuf>,
    data_dir: Option<PathBuf>,
}

impl Place {
    /// The place of the store that `serve` would open.
    pub(super) fn of(config: &Config) -> Self {
        let plugin = config.storage.plugin.clone();
        let mut settings = config.storage.settings.clone();
        // Whoever looks at a whole store wants it alone, however many serve it at other times.
        settings.remove("access");
        let path = config.store_directory();
        if let Some(path) = &path {
            settings.insert("path".into(), path.to_string_lossy().as_ref().into());
        }
        let (templates, data_dir) = (config.templates_elsewhere(), Some(config.data_dir.clone()));
        Self { plugin, settings, path, templates, data_dir }
    }

    /// A place as a person writes it: `fs:./shared/db`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').filter(|(plugin, path)| !plugin.is_empty() && !path.is_empty());
        let (plugin, path) =
            parts.ok_or("write a storage and its directory, like fs:./shared/db or embedded:./delta-data/store")?;
        let settings = Map::from_iter([("path".to_owned(), Value::from(path))]);
        let (path, plugin) = (PathBuf::from(path), plugin.to_owned());
        let data_dir = path.parent().map(PathBuf::from);
        Ok(Self { plugin, settings, path: Some(path), templates: None, data_dir })
    }

    /// Opens the storage, or makes it; a store that another process has open is refused.
    pub(super) async fn open(&self) -> delta_core::Result<Arc<dyn Storage>> {
        let opened = open_storage(&self.plugin, Settings::new(self.settings.clone())).await;
        let storage = opened.map_err(|error| plugins::hint(error, "storage", &self.plugin))?;
        match self.data_dir.as_ref().filter(|_| self.plugin == "embedded") {
            Some(data_dir) => templates::elsewhere(storage, self.templates.as_deref(), data_dir).await,
            None => Ok(storage),
        }
    }

    /// Refuses a place where nothing is: a mistyped path must not become a new store.
    pub(super) fn exists(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let deeper = path.join("store");
        if self.plugin == "embedded" && deeper.is_dir() {
            bail!("there is no store in {self}; the one of that data directory is embedded:{}", deeper.display());
        }
        match std::fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none()) {
            true => bail!("there is no store in {self}; check where it is"),
            false => Ok(()),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}:{}", self.plugin, path.display()),
            None => f.write_str(&self.plugin),
        }
    }
}

/// An open store, and every superblock it has, the newest first.
pub(super) struct Found {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) generations: Vec<Generation>,
}

/// Reads the superblocks of an open storage with the keys that were given.
pub(super) async fn superblocks(
    config: &Config,
    secrets: &Secrets,
    place: &Place,
    storage: Arc<dyn Storage>,
) -> Result<Found> {
    if superblock::read(&*storage).await?.is_none() {
        bail!("there is no store in {place}; check where it is");
    }
    let masters: Vec<MasterKey> = keys::masters(config, secrets, false).await?;
    let generations = generations::read(&*storage, &masters).await?;
    Ok(Found { storage, generations })
}

/// What checks the objects of a store, with the keys and names of one of its superblocks.
pub(super) fn check(config: &Config, storage: &Arc<dyn Storage>, superblock: &Superblock) -> Result<Check> {
    let names = Arc::new(superblock.open_names()?);
    let sealer = Sealer::new(Arc::new(superblock.keyring.clone()), names, config.writer());
    Ok(Check::new(storage.clone(), Arc::new(sealer)))
}
