//! The directory of a store: whether it is one, who has it open, and on what it lies.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use delta_core::storage::Space;
use delta_core::{Error, Result};

use crate::config::{Access, Config};
use crate::durable::{make_durably, make_private, sync_directory};
use crate::layout::{Layout, name_of};
use crate::mount;
use crate::stripes::{Held, open_lock};

/// A directory that is open, alone or beside others.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) layout: Layout,
    /// Whoever is alone holds the first alone, so neither can open beside the other; a store's only main so holds the second.
    _held: Vec<Held>,
}

impl Directory {
    /// Opens a directory, and makes it if there is none.
    pub(crate) fn open(config: &Config) -> Result<Self> {
        let path = std::path::absolute(&config.path).map_err(|error| unusable(&config.path, "find", &error))?;
        if path.exists() && !path.is_dir() {
            return Err(Error::invalid("not_a_store", format!("{} is not a directory", path.display())));
        }
        make_durably(&path).map_err(|error| unusable(&path, "make", &error))?;
        mount::check(&path)?;
        let templates = config.templates_dir.as_deref().map(std::path::absolute).transpose();
        let templates = templates.map_err(|error| unusable(&path, "find", &error))?;
        let layout = Layout::new(&path, templates.as_deref());
        refuse_foreign(&layout).map_err(|error| unusable(&path, "read", &error))??;
        make_directories(&layout).map_err(|error| unusable(&path, "write in", &error))?;
        let held = hold(&layout.locks(), config.access).map_err(|error| unusable(&path, "lock", &error))?;
        let held = held.ok_or_else(|| in_use(&path, config.access))?;
        Ok(Self { layout, _held: held })
    }
}

/// Takes the locks that say who has the store open; `None` if that does not go with those who have it open already.
fn hold(locks: &Path, access: Access) -> io::Result<Option<Vec<Held>>> {
    let take = |name: &str, alone| Held::try_take(open_lock(&locks.join(name))?, alone);
    let Some(front) = take("front", access == Access::Alone)? else { return Ok(None) };
    let main = match access {
        Access::Alone | Access::Worker => return Ok(Some(vec![front])),
        Access::Main => take("main", true)?,
        Access::Shared => take("main", false)?,
    };
    Ok(main.map(|main| vec![front, main]))
}

fn in_use(path: &Path, access: Access) -> Error {
    let place = path.display();
    Error::unavailable(match access {
        Access::Alone | Access::Main => format!(
            "another process has the store in {place} open; stop it, choose another directory, or start all of them with \
             --multi-main"
        ),
        Access::Shared => format!(
            "a process without --multi-main has the store in {place} open; stop it, or start it with --multi-main too"
        ),
        Access::Worker => {
            format!("a process that has no workers has the store in {place} open; stop it, or start it as deltadb main")
        }
    })
}

/// Makes what every store has.
fn make_directories(layout: &Layout) -> io::Result<()> {
    let templates = layout.space(Space::Templates);
    make_durably(&templates)?;
    let spaces = Space::ALL.map(|space| layout.space(space));
    for directory in spaces.iter().filter(|directory| **directory != templates).chain([&layout.locks()]) {
        make_private(directory)?;
    }
    sync_directory(layout.root())
}

/// Refuses a directory that has other things in it and no store: a mistyped path must not fill somebody's home.
fn refuse_foreign(layout: &Layout) -> io::Result<Result<()>> {
    if holds_superblock(&layout.space(Space::Store))? {
        return Ok(Ok(()));
    }
    let own = Space::ALL.map(Space::as_str).into_iter().chain(["_locks", "_quarantine", "lost+found"]);
    let own: Vec<PathBuf> = own.map(|name| layout.root().join(name)).collect();
    for entry in fs::read_dir(layout.root())? {
        let path = entry?.path();
        if !own.contains(&path) {
            let (place, name) = (layout.root().display(), path.file_name().unwrap_or_default().display().to_string());
            let message = format!("the directory {place} holds {name} and no store; choose an empty one, or another");
            return Ok(Err(Error::invalid("not_a_store", message)));
        }
    }
    Ok(Ok(()))
}

fn holds_superblock(directory: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    for entry in entries {
        if entry?.file_name().to_str().is_some_and(|name| name_of(Space::Store, name).is_some()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unusable(path: &Path, what: &str, error: &dyn Display) -> Error {
    let place = path.display();
    Error::unavailable(format!("cannot {what} the directory {place}: {error}; check its owner, mode and disk"))
}
