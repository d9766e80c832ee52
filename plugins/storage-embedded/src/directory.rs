//! The directory of a store: who may use it, and how one is made.
//!
//! In it lie `lock`, `sequence` and `tree/`. A store is made as `tree.new` and renamed when it is whole: fjall cannot open
//! what it was killed while making.

use std::fmt::Display;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use delta_core::{Error, Result};

use crate::config::Config;
use crate::sequence::SequenceFile;
use crate::tree::Tree;

/// A directory that is this process's alone, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Unlocks when closed.
    _lock: File,
}

impl Directory {
    /// Takes a directory, and makes it and its store if there is none.
    pub(crate) fn take(config: &Config) -> Result<Self> {
        let path = config.path.clone();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        if path.exists() && !path.is_dir() {
            return Err(Error::invalid("not_a_store", format!("{} is not a directory", path.display())));
        }
        made.map_err(|error| unusable(&path, "make", &error))?;
        let lock = lock(&path)?;
        let directory = Self { path, _lock: lock };
        if !directory.tree().exists() {
            directory.make(config)?;
        }
        Ok(directory)
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

    fn make(&self, config: &Config) -> Result<()> {
        let unfinished = self.path.join("tree.new");
        self.refuse_foreign().map_err(|error| unusable(&self.path, "read", &error))??;
        if SequenceFile::open(&self.sequence()).is_ok_and(|(_, noted)| noted > 0) {
            let message = format!("the store in {} has lost its tree; restore a backup", self.path.display());
            return Err(Error::damaged(message).with_code("damaged_store"));
        }
        let made = (|| {
            // Whatever its files' modes are, nobody else gets in.
            fs::set_permissions(&self.path, Permissions::from_mode(0o700))?;
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished)?;
            }
            DirBuilder::new().mode(0o700).create(&unfinished)?;
            SequenceFile::create(&self.sequence())
        })();
        made.map_err(|error| unusable(&self.path, "make the store in", &error))?;
        drop(Tree::open(&unfinished, config)?);
        let finished = fs::rename(&unfinished, self.tree()).and_then(|()| File::open(&self.path)?.sync_all());
        finished.map_err(|error| unusable(&self.path, "make the store in", &error))
    }

    /// Refuses a directory that has other things in it: a mistyped path must not fill somebody's home directory.
    fn refuse_foreign(&self) -> io::Result<Result<()>> {
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            if !["lock", "sequence", "tree.new"].iter().any(|&ours| name == ours) {
                let message = format!(
                    "the directory {} holds {} and no store; choose an empty one, or another --data-dir",
                    self.path.display(),
                    name.display()
                );
                return Ok(Err(Error::invalid("not_a_store", message)));
            }
        }
        Ok(Ok(()))
    }
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
