//! A look at the tree's lists of its tables, and at where the parts of each table are, before the tree opens them.
//!
//! The tree believes them: where they are damaged it asserts or asks for all memory there is, which ends the process, and
//! where a list is missing it removes the tables. Their checksums are on the disk already; here they are verified.
//!
//! A keyspace is a directory `keyspaces/<n>`. Its file `current` (number of a list as u64, checksum of it as u128, 0) names the
//! list `v<number>`, and that names the files in `tables/`, each with a checksum. Lists and tables are archives: parts, then an
//! index of them (`TOC!` and more), then an end (`SFA!`, 1, 0, checksum of the index as u128, position and size of it as u64).
//! Checksums are XXH3, all is little-endian: lsm-tree's format version 3.

use std::fs::{self, File};
use std::io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

const END_MAGIC: [u8; 6] = *b"SFA!\x01\x00";
const END_BYTES: u64 = 38;
/// A table has a handful of parts, so its index is far smaller.
const INDEX_BYTES_MAX: u64 = 64 << 10;
const BUFFER_BYTES: usize = 256 << 10;

/// A table that a list names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    file: PathBuf,
    checksum: u128,
}

/// Walks the lists of the tree's own keyspace, which is number 0, and of so many others, and gives all tables. An error of
/// kind `InvalidData` or `NotFound` names the file. The blocks of tables are not looked at: the tree verifies each it reads.
pub(crate) fn survey(directory: &Path, keyspaces: usize) -> io::Result<Vec<Table>> {
    let mut tables = Vec::new();
    for keyspace in 0..=keyspaces {
        tables.append(&mut listed(&directory.join("keyspaces").join(keyspace.to_string()))?);
    }
    tables.iter().try_for_each(|table| at(&table.file, table.index()))?;
    Ok(tables)
}

/// The first of some tables that is not what was written, in words. Reads them whole: for when they did not open.
pub(crate) fn first_damaged(tables: &[Table]) -> Option<String> {
    tables.iter().find_map(|table| at(&table.file, table.whole()).err()).map(|error| error.to_string())
}

impl Table {
    /// Verifies where the parts of the table are.
    fn index(&self) -> io::Result<()> {
        let mut file = File::open(&self.file)?;
        let bytes = file.metadata()?.len();
        let end_at = bytes.checked_sub(END_BYTES).ok_or_else(|| invalid("it is too short"))?;
        file.seek(SeekFrom::Start(end_at))?;
        let magic: [u8; 6] = take(&mut file)?;
        let checksum = u128::from_le_bytes(take(&mut file)?);
        let (index_at, size) = (u64::from_le_bytes(take(&mut file)?), u64::from_le_bytes(take(&mut file)?));
        if magic != END_MAGIC || index_at.checked_add(size) != Some(end_at) || size > INDEX_BYTES_MAX {
            return Err(invalid("its end is damaged"));
        }
        file.seek(SeekFrom::Start(index_at))?;
        let mut index = Vec::new();
        file.take(size).read_to_end(&mut index)?;
        if xxh3_128(&index) == checksum { Ok(()) } else { Err(invalid("its index does not have its checksum")) }
    }

    /// Verifies all of the table.
    fn whole(&self) -> io::Result<()> {
        let mut file = File::open(&self.file)?;
        let (mut hasher, mut buffer) = (Xxh3::new(), vec![0; BUFFER_BYTES]);
        loop {
            let read = file.read(&mut buffer)?;
            hasher.update(buffer.get(..read).unwrap_or_default());
            if read == 0 {
                break;
            }
        }
        if hasher.digest128() == self.checksum { Ok(()) } else { Err(invalid("it does not have its checksum")) }
    }
}

/// The tables of a keyspace, by its current list.
fn listed(keyspace: &Path) -> io::Result<Vec<Table>> {
    let current = keyspace.join("current");
    let (number, checksum) = at(&current, fs::read(&current).and_then(|bytes| parse_current(&bytes)))?;
    let list = keyspace.join(format!("v{number}"));
    let parsed = fs::read(&list).and_then(|bytes| match xxh3_128(&bytes) == checksum {
        true => parse_list(&bytes),
        false => Err(invalid("it does not have its checksum")),
    });
    let table = |(id, checksum): (u64, u128)| Table { file: keyspace.join("tables").join(id.to_string()), checksum };
    // Either of the two may be what is damaged.
    let parsed =
        at(&list, parsed).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", current.display())))?;
    Ok(parsed.into_iter().map(table).collect())
}

fn parse_current(bytes: &[u8]) -> io::Result<(u64, u128)> {
    let mut rest = bytes;
    let (number, checksum) = (u64::from_le_bytes(take(&mut rest)?), u128::from_le_bytes(take(&mut rest)?));
    match rest {
        [0] => Ok((number, checksum)),
        _ => Err(invalid("it names no list of tables")),
    }
}

/// The tables of a list that is whole: the part `tables` has levels, each has runs, each has tables.
fn parse_list(bytes: &[u8]) -> io::Result<Vec<(u64, u128)>> {
    let archive = sfa::Reader::from_reader(&mut Cursor::new(bytes)).map_err(|error| invalid(&error.to_string()))?;
    let part = archive.toc().section(b"tables").ok_or_else(|| invalid("it lists no tables"))?;
    let mut part = bytes.get(usize::try_from(part.pos()).unwrap_or(usize::MAX)..).unwrap_or_default();
    let mut tables = Vec::new();
    let [levels] = take(&mut part)?;
    for _ in 0..levels {
        let [runs] = take(&mut part)?;
        for _ in 0..runs {
            for _ in 0..u32::from_le_bytes(take(&mut part)?) {
                let id = u64::from_le_bytes(take(&mut part)?);
                let [_kind_of_checksum] = take(&mut part)?;
                tables.push((id, u128::from_le_bytes(take(&mut part)?)));
                let _sequence: [u8; 8] = take(&mut part)?;
            }
        }
    }
    Ok(tables)
}

/// Names the file in an error. What ends too early is damaged, too.
fn at<T>(file: &Path, found: io::Result<T>) -> io::Result<T> {
    found.map_err(|error| {
        let kind = if error.kind() == ErrorKind::UnexpectedEof { ErrorKind::InvalidData } else { error.kind() };
        io::Error::new(kind, format!("{}: {error}", file.display()))
    })
}

fn take<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, message)
}
