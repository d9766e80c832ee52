//! Opening a store: the data directory, the storage, the superblock and its keys.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use delta_core::address::Names;
use delta_core::keyring::Keyring;
use delta_core::keys::MasterKey;
use delta_core::plugin::{Settings, open_storage};
use delta_core::storage::Storage;
use delta_core::superblock::{self, Superblock};

use crate::config::Config;
use crate::plugins;
use crate::roles::keys;
use crate::secrets::Secrets;

/// An open store.
pub(crate) struct Store {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) names: Arc<Names>,
    /// Where the data is, for people.
    pub(crate) place: String,
}

/// Opens the store that the configuration names, or makes it.
pub(crate) async fn open(config: &Config, secrets: &Secrets) -> Result<Store> {
    make_private_directory(&config.data_dir)?;
    let mut settings = Settings::new(config.storage.settings.clone());
    let mut place = format!("storage {}", config.storage.plugin);
    if config.storage.plugin == "embedded" && !config.storage.settings.contains_key("path") {
        let path = config.data_dir.join("store");
        place = path.display().to_string();
        settings = settings.with("path", path.to_string_lossy().as_ref());
    }
    let plugin = config.storage.plugin.as_str();
    let storage = open_storage(plugin, settings).await.map_err(|error| plugins::hint(error, "storage", plugin))?;
    let found = superblock::read(&*storage).await?;
    let masters = keys::masters(config, secrets, found.is_none()).await?;
    let superblock = match found {
        Some((_, bytes)) => reopen(&*storage, &bytes, &masters).await?,
        None => create(config, &*storage, &masters).await?,
    };
    let names = Arc::new(superblock.open_names()?);
    Ok(Store { storage, names, keyring: Arc::new(superblock.keyring), place })
}

async fn create(config: &Config, storage: &dyn Storage, masters: &[MasterKey]) -> Result<Superblock> {
    let master = masters.first().context("a new store needs a master key")?;
    let superblock = Superblock::create(config.names, master)?;
    superblock.write(storage).await?;
    Ok(superblock)
}

/// Opens the superblock; a first key that the store does not know becomes its active one.
async fn reopen(storage: &dyn Storage, bytes: &[u8], masters: &[MasterKey]) -> Result<Superblock> {
    let superblock = Superblock::open(bytes, masters)?;
    match masters.first().filter(|first| !superblock.knows(first)) {
        None => Ok(superblock),
        Some(new) => {
            let adopted = superblock.adopt(new, masters)?;
            adopted.write(storage).await?;
            tracing::info!(key = %adopted.keyring.active().id(), "a new master key is active; earlier ones still decrypt");
            Ok(adopted)
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

/// Writes a secret to a new file that only its owner can read, durably.
pub(crate) fn write_private(file: &Path, secret: &str) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        opened.write_all(secret.as_bytes())?;
        opened.write_all(b"\n")?;
        opened.sync_all()?;
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        fs::File::open(parent)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}
