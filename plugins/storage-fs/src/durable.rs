//! Directories: made when they are first needed, and synced into their parents before anything in them counts.
//!
//! The surprise: a directory that is there already may have been made by another process a moment ago, and not be durable
//! yet. So each process syncs the parent of every directory it has not used before.

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// How many directories are remembered; one more, and they are looked at anew.
const KNOWN_MAX: usize = 65_536;

/// The directories that this process knows to be durable.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    known: Mutex<HashSet<PathBuf>>,
    /// Why none can be known any more: a sync failed, and the next one may hide it.
    lost: OnceLock<String>,
}

impl Durable {
    /// Makes a directory below `top` durable, and whatever lies between; `top` itself must be.
    pub(crate) fn ensure(&self, top: &Path, directory: &Path) -> io::Result<()> {
        if directory == top || self.known().contains(directory) {
            return Ok(());
        }
        let parent = directory.parent().unwrap_or(top);
        self.ensure(top, parent)?;
        make_private(directory)?;
        sync_directory(parent).inspect_err(|error| {
            drop(self.lost.set(format!("cannot sync {}: {error}", parent.display())));
        })?;
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(directory.to_owned());
        Ok(())
    }

    /// An error if a sync has failed, after which no process may go on as if directories were known.
    pub(crate) fn trusted(&self) -> Result<(), String> {
        self.lost.get().cloned().map_or(Ok(()), Err)
    }

    /// Forgets everything, because somebody removed a directory.
    pub(crate) fn forget(&self) {
        self.known().clear();
    }

    fn known(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a directory that only its owner can enter, unless it is there.
pub(crate) fn make_private(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Makes what a directory lists durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    let directory = File::open(directory)?;
    directory.sync_all()?;
    is_alive(&directory)
}

/// Whether a file system still works, asked after a sync: XFS, which shuts itself down when its disk fails, may call a sync of
/// a directory done whose changes it has just dropped. It tells by refusing to say anything about a file.
pub(crate) fn is_alive(file: &File) -> io::Result<()> {
    file.metadata().map(drop)
}

/// Makes a directory and what is missing above it, durably.
pub(crate) fn make_durably(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    for directory in missing.into_iter().rev() {
        make_private(directory)?;
        let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_directory(parent.unwrap_or_else(|| Path::new(".")))?;
    }
    Ok(())
}
