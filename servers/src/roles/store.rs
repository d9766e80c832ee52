//! Opening a store: the data directory, the storage, the superblock and its keys.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use delta_core::ErrorKind as Kind;
use delta_core::address::Names;
use delta_core::keyring::Keyring;
use delta_core::keys::{MasterKey, Secret};
use delta_core::plugin::{Settings, open_storage};
use delta_core::storage::Storage;
use delta_core::superblock::{self, Superblock};

use crate::cluster::main::Keys;
use crate::config::Config;
use crate::plugins;
use crate::roles::keys;
use crate::secrets::Secrets;
use crate::templates;

/// How often a superblock is read again because another process wrote one in between.
const ATTEMPTS_MAX: usize = 8;

/// An open store.
pub(crate) struct Store {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) names: Arc<Names>,
    /// The master keys themselves, the active one first: what a main gives to its workers.
    pub(crate) masters: Vec<MasterKey>,
    pub(crate) generation: u64,
    /// Where the data is, for people.
    pub(crate) place: String,
}

impl Store {
    /// What a main gives to its workers.
    pub(crate) fn keys(&self) -> Keys {
        Keys { generation: self.generation, masters: self.masters.clone() }
    }
}

/// Opens the store that the configuration names, or makes it.
pub(crate) async fn open(config: &Config, secrets: &Secrets) -> Result<Store> {
    if config.needs_data_dir() {
        make_private_directory(&config.data_dir)?;
    }
    let (storage, place) = open_place(config).await?;
    let (superblock, masters) = superblock(config, secrets, &*storage).await?;
    let (names, masters) = (Arc::new(superblock.open_names()?), superblock.select(&masters));
    let (generation, keyring) = (superblock.generation, Arc::new(superblock.keyring));
    Ok(Store { storage, names, keyring, masters, generation, place })
}

/// Opens the storage that the configuration names, and says where that is, for people.
pub(crate) async fn open_place(config: &Config) -> Result<(Arc<dyn Storage>, String)> {
    let plugin = config.storage.plugin.as_str();
    let mut settings = Settings::new(config.storage.settings.clone());
    let directory = config.store_directory();
    if let Some(directory) = &directory {
        settings = settings.with("path", directory.to_string_lossy().as_ref());
    }
    let place = directory.map_or_else(|| format!("storage {plugin}"), |directory| directory.display().to_string());
    let storage = open_storage(plugin, settings).await.map_err(|error| plugins::hint(error, "storage", plugin))?;
    let storage = match config.storage.plugin.as_str() {
        "embedded" => templates::elsewhere(storage, config.templates_elsewhere().as_deref(), &config.data_dir).await?,
        _ => storage,
    };
    Ok((storage, place))
}

/// The store's superblock and the keys at hand: opened, made, or opened all the same if another process was faster to write one.
async fn superblock(config: &Config, secrets: &Secrets, storage: &dyn Storage) -> Result<(Superblock, Vec<MasterKey>)> {
    for _ in 0..ATTEMPTS_MAX {
        let found = superblock::read(storage).await?;
        let masters = keys::masters(config, secrets, found.is_none()).await?;
        let written = match found {
            Some((generation, bytes)) => {
                reopen(storage, Superblock::open_as(generation, &bytes, &masters)?, &masters).await?
            }
            None => create(config, storage, &masters).await?,
        };
        if let Some(superblock) = written {
            return Ok((superblock, masters));
        }
    }
    bail!("other processes keep writing the superblock of this store; start again once they have come up")
}

/// Writes a superblock; `None` if another process was faster.
async fn write(superblock: Superblock, storage: &dyn Storage) -> Result<Option<Superblock>> {
    match superblock.write(storage).await {
        Ok(()) => Ok(Some(superblock)),
        Err(error) if error.kind() == Kind::Conflict => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn create(config: &Config, storage: &dyn Storage, masters: &[MasterKey]) -> Result<Option<Superblock>> {
    let master = masters.first().context("a new store needs a master key")?;
    write(Superblock::create(config.names, master)?, storage).await
}

/// The superblock that was found; a first key that the store does not know becomes its active one.
async fn reopen(storage: &dyn Storage, superblock: Superblock, masters: &[MasterKey]) -> Result<Option<Superblock>> {
    match masters.first().filter(|first| !superblock.knows(first)) {
        None => Ok(Some(superblock)),
        Some(new) => {
            let adopted = superblock.adopt(new, masters)?;
            let written = write(adopted, storage).await?;
            if let Some(adopted) = &written {
                let key = adopted.keyring.active().id().clone();
                tracing::info!(%key, "a new master key is active; earlier ones still decrypt");
            }
            Ok(written)
        }
    }
}

/// Makes a directory that only its owner can enter.
pub(crate) fn make_private_directory(directory: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.with_context(|| format!("cannot make the directory {}; choose another --data-dir", directory.display()))?;
    let probe = tempfile_in(directory);
    probe.with_context(|| format!("cannot write in the directory {}; check its owner and mode", directory.display()))
}

fn tempfile_in(directory: &Path) -> std::io::Result<()> {
    let probe = directory.join(format!(".probe-{}", std::process::id()));
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&probe)?;
    fs::remove_file(probe)
}

/// Writes a secret to a file that only its owner can read, durably and whole from the first moment on; `false` if there
/// is one already, which is left alone.
pub(crate) fn write_private_first(file: &Path, secret: &str) -> Result<bool> {
    let mark = Secret::<8>::random()?.to_hex();
    let beside = file.with_added_extension(format!("{}.new", mark.as_str()));
    write_private(&beside, secret)?;
    let linked = fs::hard_link(&beside, file);
    let removed = fs::remove_file(&beside);
    let made = match linked {
        Ok(()) => removed.and_then(|()| sync_parent(file)).map(|()| true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    };
    made.with_context(|| format!("cannot write {}", file.display()))
}

fn sync_parent(file: &Path) -> std::io::Result<()> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    fs::File::open(parent)?.sync_all()
}

/// Writes a secret to a new file that only its owner can read, durably.
pub(crate) fn write_private(file: &Path, secret: &str) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        opened.write_all(secret.as_bytes())?;
        opened.write_all(b"\n")?;
        opened.sync_all()?;
        sync_parent(file)
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}
