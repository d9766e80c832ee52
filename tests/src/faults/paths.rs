//! The files that a server is going to write: those that are there, and its next temporary ones.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::storages::Storage;

/// Every file below a directory.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// How many temporary names are guessed beyond the lowest possible one: schemas need two, and a store a few of its own.
const GUESSED: usize = 24;

/// The files below a directory that its server may write next, after at least so many writes: those that are there, and on
/// `fs` the temporary ones of its only instance, in every directory that it may put them in.
pub(crate) fn written(storage: Storage, root: &Path, writes: usize) -> Vec<PathBuf> {
    if storage == Storage::Embedded {
        return files(root);
    }
    let instance = names(&root.join("_locks")).into_iter().find_map(|name| name.strip_prefix("i-").map(str::to_owned));
    let instance = instance.expect("the lock file of an instance");
    let mut directories = directories(root);
    for group in names(&root.join("files")) {
        let shards = ('0'..='9').chain('a'..='v').map(|shard| root.join("files").join(&group).join(shard.to_string()));
        directories.extend(shards);
    }
    let numbers = (writes..writes + GUESSED).map(|number| format!(".t-{instance}-{number}"));
    let names: Vec<String> = numbers.collect();
    directories.iter().flat_map(|directory| names.iter().map(|name| directory.join(name))).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Every directory below one that may hold objects.
fn directories(root: &Path) -> BTreeSet<PathBuf> {
    let below = names(root).into_iter().filter(|name| name != "_locks").map(|name| root.join(name));
    let below: Vec<_> = below.filter(|path| path.is_dir()).collect();
    below.iter().flat_map(|path| directories(path)).chain(below.iter().cloned()).collect()
}
