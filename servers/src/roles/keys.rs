//! Where the keys of a start come from: given values, files, or made on the spot for a new store.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use delta_core::ErrorKind;
use delta_core::builtin::admin_key::{ADMIN_KEY_BYTES_ADVISED, AdminKey};
use delta_core::builtin::static_keys::StaticKeys;
use delta_core::keys::{KeyProvider, MasterKey, Secret, SecretText};
use delta_core::plugin::{Settings, open_keys};

use crate::cli::print_line;
use crate::config::Config;
use crate::plugins;
use crate::roles::store::write_private_first;
use crate::secrets::{Secrets, read_file};

/// The files in which `--dev` keeps its keys, in the data directory.
const DEV_MASTER_KEY: &str = "dev-master.key";
const DEV_ADMIN_KEY: &str = "dev-admin.key";

/// The master keys at hand, the one for new data first, then the earlier ones.
pub(crate) async fn masters(config: &Config, secrets: &Secrets, is_new: bool) -> Result<Vec<MasterKey>> {
    let previous = secrets.previous_master_keys()?;
    let provider: Arc<dyn KeyProvider> = match (&secrets.master_key, key_file(config)) {
        (Some(given), _) => {
            Arc::new(StaticKeys::new(vec![MasterKey::from_hex(config.key_id.clone(), given.expose())?]))
        }
        (None, Some(file)) => from_file(config, &file, is_new).await?,
        (None, None) if is_new => Arc::new(StaticKeys::new(vec![generate(config)?])),
        (None, None) => Arc::new(StaticKeys::new(Vec::new())),
    };
    let mut masters = provider.keys().await?;
    masters.extend(previous);
    Ok(masters)
}

/// The keys that are in the key file now; none where there is no file.
pub(crate) async fn in_file(config: &Config) -> Result<Vec<MasterKey>> {
    match key_file(config) {
        Some(file) => Ok(from_file(config, &file, false).await?.keys().await?),
        None => Ok(Vec::new()),
    }
}

fn key_file(config: &Config) -> Option<PathBuf> {
    let dev = config.dev.then(|| config.data_dir.join(DEV_MASTER_KEY));
    config.master_key_file.clone().or(dev)
}

/// The keys in a file; the file is made only together with the store.
async fn from_file(config: &Config, file: &Path, is_new: bool) -> Result<Arc<dyn KeyProvider>> {
    let settings =
        Settings::default().with("path", file.to_string_lossy().as_ref()).with("key_id", config.key_id.as_str());
    let provider = open_keys("file", settings).await.map_err(|error| plugins::hint(error, "keys", "file"))?;
    match provider.keys().await {
        Err(error) if error.kind() == ErrorKind::NotFound && is_new => match provider.create(&config.key_id).await {
            // Another process that makes the same store was faster: its key is the one.
            Err(error) if error.code() == ErrorKind::Conflict.code() => {}
            created => drop(created?),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "the master key file {} does not exist, and this store cannot be opened without its key; restore the file",
            file.display()
        ),
        Err(error) => return Err(error.into()),
        Ok(_) => {}
    }
    Ok(provider)
}

/// A key for a new store that was given none: shown once, to a person.
fn generate(config: &Config) -> Result<MasterKey> {
    if !std::io::stdout().is_terminal() {
        bail!("a new store needs a master key; give --master-key-file FILE, which makes one, or MASTER_KEY=HEX");
    }
    let key = MasterKey::generate(config.key_id.clone())?;
    print_line(&format!("New master key {}: {}", key.id, key.key.to_hex().as_str()));
    print_line("Keep it: it is not stored anywhere, and without it the data cannot be read. Give it as MASTER_KEY.");
    Ok(key)
}

/// The admin key that was given; `None` only where a development server makes its own.
pub(crate) fn given_admin(config: &Config, secrets: &Secrets) -> Result<Option<AdminKey>> {
    let given = match (&secrets.admin_key, &config.admin_key_file) {
        (Some(given), _) => Some(given.clone()),
        (None, Some(file)) => Some(read_file(file, "admin key")?),
        (None, None) => None,
    };
    match given {
        Some(key) => {
            let admin = AdminKey::new(&key)?;
            if key.expose().len() < ADMIN_KEY_BYTES_ADVISED {
                tracing::warn!("the admin key is shorter than {ADMIN_KEY_BYTES_ADVISED} bytes and could be guessed");
            }
            Ok(Some(admin))
        }
        None if config.dev => Ok(None),
        None => bail!("there is no admin key; give ADMIN_KEY or --admin-key-file FILE, or try things out with --dev"),
    }
}

/// The admin key of a development server, made at its first start.
pub(crate) fn dev_admin(config: &Config) -> Result<AdminKey> {
    let file = &config.data_dir.join(DEV_ADMIN_KEY);
    let key = SecretText::new(Secret::<24>::random()?.to_hex().as_str());
    // Another process that starts over the same directory may be faster.
    if file.exists() || !write_private_first(file, key.expose())? {
        print_line(&format!("Admin key: in {}", file.display()));
        return Ok(AdminKey::new(&read_file(file, "admin key")?)?);
    }
    if std::io::stdout().is_terminal() {
        print_line(&format!("Admin key: {} (kept in {})", key.expose(), file.display()));
    } else {
        print_line(&format!("Admin key: new, in {}", file.display()));
    }
    Ok(AdminKey::new(&key)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn processes_that_start_at_once_have_one_admin_key() {
        for _ in 0..50 {
            let directory = tempfile::tempdir().unwrap();
            let config = Config { data_dir: directory.path().into(), ..Config::default() };
            let at_once = Barrier::new(8);
            let start = || {
                at_once.wait();
                *dev_admin(&config).unwrap().digest().expose()
            };
            let keys: BTreeSet<_> = thread::scope(|scope| {
                let all: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
                all.into_iter().map(|one| one.join().unwrap()).collect()
            });
            let files: Vec<_> =
                std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
            assert_eq!((keys.len(), files), (1, vec![DEV_ADMIN_KEY.into()]));
        }
    }
}
