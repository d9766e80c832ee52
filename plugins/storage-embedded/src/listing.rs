//! Names and groups, read in chunks: nothing in the tree is held while a slow reader thinks.

use delta_core::Result;
use delta_core::storage::{Group, Listed};
use fjall::Keyspace;

use crate::tree::unreadable;

/// How many names are read before they are handed on: a few hundred microseconds of work.
const CHUNK_NAMES: usize = 1024;
/// Follows `/` in the order of bytes, and so ends the keys of a group.
const AFTER_SLASH: u8 = b'/' + 1;

/// Some names of a group, and where to go on.
pub(crate) struct Chunk {
    pub(crate) listed: Vec<Listed>,
    /// The key to continue from; `None` at the end.
    pub(crate) next: Option<Vec<u8>>,
}

/// The key that a group's listing begins from.
pub(crate) fn start(group: &Group) -> Vec<u8> {
    [group.as_str().as_bytes(), b"/"].concat()
}

/// Reads a chunk of a group's names from a key on.
pub(crate) fn chunk(keyspace: &Keyspace, group: &Group, from: Vec<u8>) -> Result<Chunk> {
    let prefix = start(group);
    let end = [group.as_str().as_bytes(), &[AFTER_SLASH]].concat();
    let mut listed = Vec::with_capacity(CHUNK_NAMES);
    for guard in keyspace.range(from..end) {
        let (key, image) = guard.into_inner().map_err(|error| unreadable(&error))?;
        if listed.len() == CHUNK_NAMES {
            return Ok(Chunk { listed, next: Some(key.to_vec()) });
        }
        let name = String::from_utf8_lossy(key.strip_prefix(&*prefix).unwrap_or_default());
        listed.push(Listed { name: name.into(), size_bytes: image.len() as u64 });
    }
    Ok(Chunk { listed, next: None })
}

/// The groups of a space, by seeking from each to what follows it.
pub(crate) fn groups(keyspace: &Keyspace) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    let mut from = Vec::new();
    while let Some(guard) = keyspace.range(std::mem::take(&mut from)..).next() {
        let key = guard.key().map_err(|error| unreadable(&error))?;
        let group = key.split(|&byte| byte == b'/').next().unwrap_or_default();
        groups.push(Group::new(&String::from_utf8_lossy(group)));
        from = [group, &[AFTER_SLASH]].concat();
    }
    Ok(groups)
}
