//! Names and groups, read from the directories while a slow reader thinks: only a few hundred names are in memory.

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use delta_core::storage::{Group, Listed, Space};
use tokio::sync::mpsc::Sender;

use crate::layout::{Layout, name_of, shard_of};

/// How many names are handed on at once.
const CHUNK_NAMES: usize = 512;

/// Some names of a group, or why there are no more.
pub(crate) type Chunk = Result<Vec<Listed>, (PathBuf, io::Error)>;

/// Hands on the names and sizes of a group; stops when nobody listens. Blocks.
pub(crate) fn list(layout: &Layout, space: Space, group: &Group, to: Sender<Chunk>) {
    let mut walk = Walk { chunk: Vec::with_capacity(CHUNK_NAMES), to };
    let done = match layout.shards_of(space, group) {
        Some(directory) => walk.shards(space, &directory),
        None => Ok(()),
    };
    let prefix = Layout::prefix_of(space, group);
    let done = done.and_then(|()| walk.files(space, &layout.space(space), |name| name.strip_prefix(prefix.as_str())));
    let last = std::mem::take(&mut walk.chunk);
    match done {
        Ok(()) => drop(walk.to.blocking_send(Ok(last))),
        Err(Stop::Failed(path, error)) => drop(walk.to.blocking_send(Err((path, error)))),
        Err(Stop::NobodyListens) => {}
    }
}

/// The groups of a space that hold objects. Blocks.
pub(crate) fn groups(layout: &Layout, space: Space) -> io::Result<Vec<Group>> {
    let mut groups = HashSet::new();
    for entry in entries(&layout.space(space))? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if !is_directory(&entry) {
            groups.extend(Layout::group_of_file(space, name));
        } else if holds_object(space, &entry.path())? {
            groups.insert(Layout::group_of_directory(name));
        }
    }
    Ok(groups.into_iter().collect())
}

fn holds_object(space: Space, directory: &Path) -> io::Result<bool> {
    for shard in entries(directory)? {
        let shard = shard?;
        for entry in entries(&shard.path())? {
            if entry?.file_name().to_str().is_some_and(|file| name_of(space, file).is_some()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

struct Walk {
    chunk: Vec<Listed>,
    to: Sender<Chunk>,
}

enum Stop {
    NobodyListens,
    Failed(PathBuf, io::Error),
}

impl Walk {
    /// What lies in the directories of a group whose names are sealed.
    fn shards(&mut self, space: Space, directory: &Path) -> Result<(), Stop> {
        let failed = |error| Stop::Failed(directory.to_owned(), error);
        for shard in entries(directory).map_err(failed)? {
            let shard = shard.map_err(failed)?;
            let is_here = |name: &str| shard.file_name().to_str() == shard_of(name).map(String::from).as_deref();
            self.files(space, &shard.path(), |name| is_here(name).then_some(name))?;
        }
        Ok(())
    }

    /// What lies in one directory and is wanted, under the name that it is wanted by.
    fn files(&mut self, space: Space, directory: &Path, wanted: impl Fn(&str) -> Option<&str>) -> Result<(), Stop> {
        let failed = |error| Stop::Failed(directory.to_owned(), error);
        for entry in entries(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let file = entry.file_name();
            let Some(name) = file.to_str().and_then(|file| name_of(space, file)).and_then(&wanted) else { continue };
            let metadata = match entry.metadata() {
                // It was removed a moment ago.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata.map_err(failed)?,
            };
            if metadata.is_file() {
                self.chunk.push(Listed { name: name.into(), size_bytes: metadata.len() });
            }
            if self.chunk.len() == CHUNK_NAMES {
                let full = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_NAMES));
                self.to.blocking_send(Ok(full)).map_err(|_| Stop::NobodyListens)?;
            }
        }
        Ok(())
    }
}

fn entries(directory: &Path) -> io::Result<Box<dyn Iterator<Item = io::Result<DirEntry>>>> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(Box::new(entries)),
        // Nothing was ever put there, or it is a file that somebody left.
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => {
            Ok(Box::new(std::iter::empty()))
        }
        Err(error) => Err(error),
    }
}

fn is_directory(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir())
}
