//! The locks under which writes happen: 1,024 files, each for the names whose hash begins alike (FORMAT.md, "Writing").
//!
//! A lock is a `flock` on a file that is opened anew each time, so it keeps out the other threads of this process as well as
//! other processes.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use delta_core::storage::ObjectName;
use fd_lock::RwLock;
use sha2::{Digest, Sha256};

/// The number of a stripe, below 1,024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Stripe(u16);

impl Stripe {
    /// The stripe of a name: the first 10 bits of its SHA-256.
    pub(crate) fn of(name: &ObjectName) -> Self {
        let text = format!("{}/{}/{}", name.space.as_str(), name.group.as_str(), name.name);
        let [first, second, ..]: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        Self(u16::from_be_bytes([first, second]) >> 6)
    }

    /// Which of so many equal parts of all stripes it belongs to.
    pub(crate) fn part_of(self, parts: usize) -> usize {
        usize::from(self.0) % parts
    }
}

/// Stripes that are held.
pub(crate) type Locks = BTreeMap<Stripe, Held>;

/// A lock on a file, held until the value is dropped.
#[derive(Debug)]
pub(crate) struct Held(File);

impl Held {
    /// Takes a lock on a file if it is free: alone, or beside others that share it.
    pub(crate) fn try_take(file: File, alone: bool) -> io::Result<Option<Self>> {
        let mut lock = RwLock::new(&file);
        // A guard would unlock before the file is closed, and closing it unlocks anyway.
        let taken = if alone { lock.try_write().map(std::mem::forget) } else { lock.try_read().map(std::mem::forget) };
        match taken {
            Ok(()) => Ok(Some(Self(file))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits for a lock on a file. Blocks.
    pub(crate) fn take(file: File) -> io::Result<Self> {
        loop {
            match RwLock::new(&file).write().map(std::mem::forget) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(Self(file)),
            }
        }
    }

    /// Whether the lock's file was removed: others may hold a new one of the same name by now.
    pub(crate) fn is_lost(&self) -> bool {
        self.0.metadata().map_or(true, |metadata| metadata.nlink() == 0)
    }
}

/// The lock files of a store.
#[derive(Debug)]
pub(crate) struct Stripes(PathBuf);

impl Stripes {
    /// The lock files in a directory.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Takes a stripe if it is free.
    pub(crate) fn try_take(&self, stripe: Stripe) -> io::Result<Option<Held>> {
        Held::try_take(self.open(stripe)?, true)
    }

    /// Waits for a stripe. Blocks.
    pub(crate) fn take(&self, stripe: Stripe) -> io::Result<Held> {
        Held::take(self.open(stripe)?)
    }

    fn open(&self, stripe: Stripe) -> io::Result<File> {
        open_lock(&self.0.join(format!("{:03x}", stripe.0)))
    }
}

/// Opens a lock file, and makes it if there is none.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
