//! [`KeyProvider`] over a file: read each time, replaced as a whole when a key is added.
//!
//! The file is read on the calling thread: it is one small file, at start and when keys change.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind as IoErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use delta_core::keys::{KeyProvider, MasterKey};
use delta_core::name::KeyId;
use delta_core::{Error, Result};
use rustix::fs::FlockOperation;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::lines;

/// The largest key file, so that a path to something else (a device, a dump) is refused and not read to its end.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// How often a creation starts over because another process put a new file in place meanwhile.
const ATTEMPTS_MAX: usize = 256;

/// The keys of one file.
#[derive(Debug)]
pub struct FileKeys {
    path: PathBuf,
    bare: KeyId,
}

impl FileKeys {
    /// The keys of the configured file. Nothing is read yet.
    pub fn new(config: Config) -> Self {
        Self { path: config.path, bare: config.key_id }
    }

    pub(crate) fn shared(self) -> Arc<dyn KeyProvider> {
        Arc::new(self)
    }

    /// The file, if it is one that keys may be kept in; `None` where there is none.
    fn open(&self) -> Result<Option<(File, Metadata)>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unreadable(error)),
        };
        let metadata = file.metadata().map_err(|error| self.unreadable(error))?;
        if metadata.is_dir() {
            return Err(self.unreadable(IoErrorKind::IsADirectory.into()));
        }
        // As OpenSSH does: a file that belongs to somebody else (a mounted secret, say) is not ours to chmod.
        if metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o077 != 0 {
            let (path, mode) = (self.path.display(), metadata.mode() & 0o777);
            let message =
                format!("others may use the key file {path} (its mode is {mode:03o}); run `chmod 600 {path}`");
            return Err(Error::invalid("exposed_key_file", message));
        }
        Ok(Some((file, metadata)))
    }

    fn read(&self, file: &File, metadata: &Metadata) -> Result<Zeroizing<Vec<u8>>> {
        // One byte more than there is: the buffer never grows, so no copy of it stays behind.
        let capacity = metadata.len().min(FILE_BYTES_MAX) + 1;
        let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(capacity).unwrap_or_default()));
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(|error| self.unreadable(error))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            let message = format!("{} is larger than a key file may be ({FILE_BYTES_MAX} bytes)", self.path.display());
            return Err(Error::invalid("invalid_key_file", message));
        }
        Ok(text)
    }

    fn parse(&self, text: &[u8]) -> Result<Vec<MasterKey>> {
        lines::parse(text, self.path.display(), &self.bare)
    }

    /// Puts a new key first, behind the lock of the file that is replaced. `None`: another process was faster, try again.
    fn try_create(&self, id: &KeyId) -> Result<Option<MasterKey>> {
        let Some((file, metadata)) = self.open()? else {
            let key = MasterKey::generate(id.clone())?;
            return Ok(self.write(&self.path, &key, b"", Replace::Nothing)?.then_some(key));
        };
        rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(|error| self.unwritable(error.into()))?;
        // The lock is worth something only on the file that has the name now.
        let current = fs::metadata(&self.path).ok().map(|now| (now.dev(), now.ino()));
        if current != Some((metadata.dev(), metadata.ino())) {
            return Ok(None);
        }
        let text = self.read(&file, &metadata)?;
        if self.parse(&text)?.iter().any(|key| key.id == *id) {
            return Err(Error::conflict(format!("there is a master key {id} in {} already", self.path.display())));
        }
        // A symbolic link stays one: what it points to is replaced.
        let target = fs::canonicalize(&self.path).map_err(|error| self.unwritable(error))?;
        let key = MasterKey::generate(id.clone())?;
        Ok(self.write(&target, &key, &text, Replace::Old)?.then_some(key))
    }

    /// Durable once this returns. `false`: there is a file where none was expected.
    fn write(&self, target: &Path, key: &MasterKey, rest: &[u8], replace: Replace) -> Result<bool> {
        let directory = match target.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let write = || -> io::Result<bool> {
            // Mode 0600 from the first moment; removed again if anything fails before it has its name.
            let mut new = NamedTempFile::new_in(directory)?;
            for part in [key.id.as_str().as_bytes(), b"=", key.key.to_hex().as_bytes(), b"\n", rest] {
                new.write_all(part)?;
            }
            new.as_file().sync_all()?;
            match replace {
                Replace::Old => drop(new.persist(target).map_err(|failed| failed.error)?),
                Replace::Nothing => match new.persist_noclobber(target) {
                    Ok(_) => {}
                    Err(failed) if failed.error.kind() == IoErrorKind::AlreadyExists => return Ok(false),
                    Err(failed) => return Err(failed.error),
                },
            }
            File::open(directory)?.sync_all()?;
            Ok(true)
        };
        write().map_err(|error| self.unwritable(error))
    }

    fn unreadable(&self, error: io::Error) -> Error {
        let message = format!("cannot read the key file {}: {error}", self.path.display());
        Error::unavailable(message).with_code("unreadable_key_file")
    }

    fn unwritable(&self, error: io::Error) -> Error {
        let path = self.path.display();
        let message = format!(
            "cannot write a new master key to {path}: {error}; make its directory writable, or put the new key first in \
             another file for --master-key-file and restart with the present one as --previous-key ID=HEX"
        );
        Error::conflict(message).with_code("keys_not_persistent")
    }
}

/// What a new file may take the place of.
#[derive(Clone, Copy)]
enum Replace {
    Nothing,
    Old,
}

#[async_trait]
impl KeyProvider for FileKeys {
    async fn keys(&self) -> Result<Vec<MasterKey>> {
        let path = self.path.display();
        let (file, metadata) = self.open()?.ok_or_else(|| {
            Error::not_found(format!("there is no master key file {path}; check the path"))
                .with_code("missing_key_file")
        })?;
        let keys = self.parse(&self.read(&file, &metadata)?)?;
        if keys.is_empty() {
            let message = format!("the master key file {path} holds no key; `openssl rand -hex 32` makes one");
            return Err(Error::invalid("empty_key_file", message));
        }
        Ok(keys)
    }

    async fn create(&self, id: &KeyId) -> Result<MasterKey> {
        for _ in 0..ATTEMPTS_MAX {
            if let Some(key) = self.try_create(id)? {
                return Ok(key);
            }
        }
        Err(Error::unavailable(format!("other processes keep replacing the key file {}", self.path.display())))
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
