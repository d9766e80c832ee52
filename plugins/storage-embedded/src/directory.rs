//! The directory of a store: whose it is, and whether there is a store in it.
//!
//! In it lie `lock`, `tree/` and `sequence`, made in this order: `sequence` says that the tree was finished, for fjall cannot
//! open what it was killed while making.

use std::fmt::Display;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use delta_core::{Error, Result};

use crate::journal;
use crate::sequence::SequenceFile;

/// A directory that is this process's alone, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Unlocks when closed.
    _lock: File,
}

impl Directory {
    /// Takes a directory, and makes it if there is none.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        let made = make_durably(path);
        if path.exists() && !path.is_dir() {
            return Err(Error::invalid("not_a_store", format!("{} is not a directory", path.display())));
        }
        made.map_err(|error| unusable(path, "make", &error))?;
        refuse_foreign(path).map_err(|error| unusable(path, "read", &error))??;
        Ok(Self { path: path.to_owned(), _lock: lock(path)? })
    }

    /// Where the tree lies.
    pub(crate) fn tree(&self) -> PathBuf {
        self.path.join("tree")
    }

    /// Where the number of the last commit lies.
    pub(crate) fn sequence(&self) -> PathBuf {
        self.path.join("sequence")
    }

    /// The directory, for people.
    pub(crate) fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// Whether a store was made here, and finished.
    pub(crate) fn has_store(&self) -> io::Result<bool> {
        // A tree without a number is unfinished only if nothing was ever written to it; else the number was lost.
        Ok(self.sequence().try_exists()? || (self.tree().try_exists()? && !journal::is_unused(&self.tree())?))
    }

    /// Makes the place for a new tree. What an earlier attempt left goes.
    pub(crate) fn make_room(&self) -> io::Result<()> {
        // Whatever the modes of the files in them are, nobody else gets in.
        fs::set_permissions(&self.path, Permissions::from_mode(0o700))?;
        if self.tree().try_exists()? {
            fs::remove_dir_all(self.tree())?;
        }
        DirBuilder::new().mode(0o700).create(self.tree())
    }

    /// Marks the new tree as finished, durably.
    pub(crate) fn finish(&self) -> io::Result<()> {
        SequenceFile::create(&self.sequence())?;
        File::open(&self.path)?.sync_all()
    }
}

/// Makes a directory, and sees to it that a power cut does not take it away again.
fn make_durably(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for made in missing {
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// Refuses a directory that has other things in it and no store: a mistyped path must not fill somebody's home.
fn refuse_foreign(path: &Path) -> io::Result<Result<()>> {
    if path.join("tree").try_exists()? || path.join("sequence").try_exists()? {
        return Ok(Ok(()));
    }
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if name != "lock" {
            let (place, name) = (path.display(), name.display());
            let message =
                format!("the directory {place} holds {name} and no store; choose an empty one, or another --data-dir");
            return Ok(Err(Error::invalid("not_a_store", message)));
        }
    }
    Ok(Ok(()))
}

fn lock(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path.join("lock"));
    let file = opened.map_err(|error| unusable(path, "write in", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::unavailable(format!(
            "another process has the store in {} open; stop it, or choose another --data-dir",
            path.display()
        ))),
        Err(fs::TryLockError::Error(error)) => Err(unusable(path, "lock", &error)),
    }
}

fn unusable(path: &Path, what: &str, error: &dyn Display) -> Error {
    let place = path.display();
    Error::unavailable(format!("cannot {what} the directory {place}: {error}; check its owner, mode and disk"))
}
