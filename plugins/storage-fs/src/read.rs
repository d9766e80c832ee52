//! Reads: whole objects, and their beginnings. No lock is taken, because a rename swaps one complete file for another.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use bytes::Bytes;
use delta_core::storage::{Revision, Space, Stored, StoredHead};

/// How much of an object is read for its head: every header of the names that clients can use fits.
const HEAD_BYTES: usize = 1024;
/// How often a file is opened again that was replaced on its server in between (`ESTALE`, NFS only).
const STALE_RETRIES: usize = 3;

/// The whole object in a file, if there is one.
pub(crate) fn object(path: &Path) -> io::Result<Option<Stored>> {
    let image = reading(path, |mut file| {
        let size_bytes = file.metadata()?.len();
        let mut image = Vec::with_capacity(usize::try_from(size_bytes).unwrap_or_default());
        file.read_to_end(&mut image)?;
        Ok(Bytes::from(image))
    })?;
    Ok(image.map(|bytes| Stored { revision: Revision::of(&bytes), bytes }))
}

/// The beginning of the object in a file, if there is one: all of it where its revision needs that.
pub(crate) fn head(space: Space, path: &Path) -> io::Result<Option<StoredHead>> {
    let head = reading(path, |mut file| {
        let size_bytes = file.metadata()?.len();
        let mut start = Vec::with_capacity(HEAD_BYTES);
        match space {
            // The revision of what is not sealed is a hash of all of it.
            Space::Store | Space::Templates => file.read_to_end(&mut start)?,
            _ => file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut start)?,
        };
        if delta_core::seal::write_id_of(&start).is_none() {
            file.read_to_end(&mut start)?;
        }
        Ok((size_bytes, Bytes::from(start)))
    })?;
    Ok(head.map(|(size_bytes, start)| StoredHead { size_bytes, revision: Revision::of(&start), start }))
}

fn reading<T>(path: &Path, read: impl Fn(File) -> io::Result<T>) -> io::Result<Option<T>> {
    let mut retries = 0;
    loop {
        match File::open(path).and_then(&read) {
            Ok(found) => return Ok(Some(found)),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::StaleNetworkFileHandle && retries < STALE_RETRIES => retries += 1,
            Err(error) => return Err(error),
        }
    }
}
