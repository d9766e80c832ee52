//! Which process is which: each holds a lock on a file of its own, so that what a dead one left can be told and removed.

use std::collections::HashMap;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use delta_core::storage::Space;

use crate::layout::{Layout, TEMPORARY};
use crate::stripes::{Held, open_lock};

/// How the name of an instance's lock file begins.
const INSTANCE: &str = "i-";

/// This process's claim to be alive, for as long as the value lives.
#[derive(Debug)]
pub(crate) struct Instance {
    id: String,
    locks: PathBuf,
    _alive: Held,
}

impl Instance {
    /// Registers this process among those that have the store open.
    pub(crate) fn register(locks: &Path) -> io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let id = HEXLOWER.encode(&random);
        let _turn = turn(locks)?;
        let file = open_lock(&locks.join(format!("{INSTANCE}{id}")))?;
        let alive = Held::try_take(file, true)?.ok_or_else(|| io::Error::other("the instance's own lock is taken"))?;
        Ok(Self { id, locks: locks.to_owned(), _alive: alive })
    }

    /// How the names of its temporary files begin.
    pub(crate) fn temporary_prefix(&self) -> String {
        format!("{TEMPORARY}{}-", self.id)
    }

    /// The name of a temporary file, which no other is given.
    pub(crate) fn temporary(&self, number: u64) -> String {
        format!("{TEMPORARY}{}-{number}", self.id)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _turn = turn(&self.locks);
        drop(fs::remove_file(self.locks.join(format!("{INSTANCE}{}", self.id))));
    }
}

/// Instances are told dead or alive, and come and go, one at a time.
fn turn(locks: &Path) -> io::Result<Held> {
    Held::take(open_lock(&locks.join("instances"))?)
}

/// Removes what dead instances left: first their temporary files, then their lock files. Does nothing where all is in order.
pub(crate) fn sweep(layout: &Layout) -> io::Result<u64> {
    let dead = dead_instances(&layout.locks())?;
    if dead.is_empty() {
        return Ok(0);
    }
    let id = |path: &Path| Some(path.file_name()?.to_str()?.strip_prefix(INSTANCE)?.to_owned());
    let mut sweep = Sweep::new(layout);
    sweep.alive.extend(dead.iter().filter_map(|(path, _)| Some((id(path)?, false))));
    for space in Space::ALL {
        sweep.directory(&layout.space(space))?;
    }
    for (path, held) in dead {
        let _turn = turn(&layout.locks())?;
        fs::remove_file(path)?;
        drop(held);
    }
    Ok(sweep.removed)
}

/// The lock files of dead instances, locked, so that only one process sweeps after each.
fn dead_instances(locks: &Path) -> io::Result<Vec<(PathBuf, Held)>> {
    let _turn = turn(locks)?;
    let mut dead = Vec::new();
    for entry in fs::read_dir(locks)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(INSTANCE)
            && let Some(held) = Held::try_take(open_lock(&entry.path())?, true)?
        {
            dead.push((entry.path(), held));
        }
    }
    Ok(dead)
}

/// Removes the temporary files of dead instances.
pub(crate) struct Sweep {
    locks: PathBuf,
    /// What was found out about instances; one that is dead stays so, and a live one is left alone.
    alive: HashMap<String, bool>,
    removed: u64,
}

impl Sweep {
    pub(crate) fn new(layout: &Layout) -> Self {
        Self { locks: layout.locks(), alive: HashMap::new(), removed: 0 }
    }

    fn directory(&mut self, directory: &Path) -> io::Result<()> {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.directory(&entry.path())?;
            } else {
                self.removed += u64::from(self.file(&entry)?);
            }
        }
        Ok(())
    }

    /// Whether a file's name is that of a temporary one.
    pub(crate) fn is_temporary(file: &str) -> bool {
        file.strip_prefix(TEMPORARY).is_some_and(|rest| rest.contains('-'))
    }

    /// Removes a file if it is a temporary one that nobody needs any more; whether it was.
    pub(crate) fn file(&mut self, entry: &DirEntry) -> io::Result<bool> {
        let name = entry.file_name();
        let Some((id, _)) = name.to_str().and_then(|name| name.strip_prefix(TEMPORARY)?.split_once('-')) else {
            return Ok(false);
        };
        if self.is_alive(id)? {
            return Ok(false);
        }
        match fs::remove_file(entry.path()) {
            // Another sweep was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true),
        }
    }

    fn is_alive(&mut self, id: &str) -> io::Result<bool> {
        if let Some(alive) = self.alive.get(id) {
            return Ok(*alive);
        }
        let _turn = turn(&self.locks)?;
        let path = self.locks.join(format!("{INSTANCE}{id}"));
        let alive = path.try_exists()? && is_locked_by_another(&path)?;
        self.alive.insert(id.to_owned(), alive);
        Ok(alive)
    }
}

/// Whether an instance's file is locked by the instance itself, and not by a sweep after it.
fn is_locked_by_another(path: &Path) -> io::Result<bool> {
    // A sweep that runs elsewhere removes the same files; leaving them to it is right as well.
    Ok(Held::try_take(open_lock(path)?, true)?.is_none())
}
