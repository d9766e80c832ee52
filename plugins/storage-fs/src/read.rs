//! Reads: whole objects, and their beginnings. No lock is taken, because a rename swaps one complete file for another.

use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut, Read};
use std::path::Path;

use bytes::Bytes;
use delta_core::seal::write_id_of;
use delta_core::storage::{Revision, Space, Stored, StoredHead};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

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
        if write_id_of(&start).is_none() {
            file.read_to_end(&mut start)?;
        }
        Ok((size_bytes, Bytes::from(start)))
    })?;
    Ok(head.map(|(size_bytes, start)| StoredHead { size_bytes, revision: Revision::of(&start), start }))
}

/// What [`object`] would answer, if the kernel has all of it in memory; `None` where a disk would be waited for.
pub(crate) fn object_in_memory(path: &Path) -> Option<Option<Stored>> {
    let Some(file) = open_in_memory(path)? else { return Some(None) };
    let bytes = whole_in_memory(&file)?;
    Some(Some(Stored { revision: Revision::of(&bytes), bytes }))
}

/// What [`head`] would answer, if the kernel has all of it in memory; `None` where a disk would be waited for.
pub(crate) fn head_in_memory(space: Space, path: &Path) -> Option<Option<StoredHead>> {
    let Some(file) = open_in_memory(path)? else { return Some(None) };
    let (size_bytes, start) = match space {
        Space::Store | Space::Templates => whole_in_memory(&file).map(|whole| (whole.len() as u64, whole))?,
        _ => {
            let start = start_in_memory(&file, HEAD_BYTES)?;
            // Less than was asked for is all there is: it is within one page of memory, which is there or not.
            let is_all = start.len() < HEAD_BYTES;
            let size_bytes = if is_all { start.len() as u64 } else { file.metadata().ok()?.len() };
            write_id_of(&start).map(|_| (size_bytes, start))?
        }
    };
    Some(Some(StoredHead { size_bytes, revision: Revision::of(&start), start }))
}

/// Opens a file without ever waiting (openat2(2)).
fn open_in_memory(path: &Path) -> Option<Option<File>> {
    match openat2(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::CACHED) {
        Ok(file) => Some(Some(File::from(file))),
        Err(Errno::NOENT) => Some(None),
        Err(_) => None,
    }
}

/// All of a file, without ever waiting.
fn whole_in_memory(file: &File) -> Option<Bytes> {
    let size_bytes = usize::try_from(file.metadata().ok()?.len()).ok()?;
    start_in_memory(file, size_bytes).filter(|whole| whole.len() == size_bytes)
}

/// At most so many of a file's first bytes, without ever waiting (preadv2(2)).
fn start_in_memory(file: &File, most: usize) -> Option<Bytes> {
    let mut start = vec![0; most];
    let read = preadv2(file, &mut [IoSliceMut::new(&mut start)], 0, ReadWriteFlags::NOWAIT).ok()?;
    start.truncate(read);
    Some(Bytes::from(start))
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
