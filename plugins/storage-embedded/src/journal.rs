//! A look at the tree's log before the tree opens it.
//!
//! The tree cuts a log at the first entry it cannot read, on the disk and without a word, and so loses every commit behind
//! it; and it refuses to open over a checksum, even that of a write which a power cut tore before anybody was told of it.
//! Here the log is only read, each checksum verified, and each commit must carry the number after the one before it.
//!
//! A log is a row of files `<n>.jnl`, each a row of batches and then zeros or its end. A batch is a start (1, items as u32,
//! tree sequence as u64), items (2, kind, compression, keyspace as u64, key size as u16, value size as u32 twice, key,
//! value) and an end (3, checksum as u64, `FJL` 3), little-endian: fjall's format version 3, which [`survey`] demands.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::tree::SEQUENCE_KEY;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const MAGIC: [u8; 4] = *b"FJL\x03";
/// So many zeros are the unused space behind the last batch.
const BLANK_BYTES: usize = 64 << 10;
/// How far into a batch its first key is.
const FIRST_KEY_AT: usize = 13 + 21;
/// The tree keeps the highest bit of its sequence for itself, and asserts that it is free.
const RANK_END: u64 = 1 << 63;
const BUFFER_BYTES: usize = 256 << 10;

/// What a log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// The number of the last whole commit; `None` if every commit has left the log for tables.
    pub(crate) last: Option<u64>,
    /// Where the last file goes on with something that is no whole commit: cut short by a crash, or damaged.
    pub(crate) torn: Option<Torn>,
}

/// The end of a log that is no whole commit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) file: PathBuf,
    /// Where the last whole commit of the file ends.
    pub(crate) at: u64,
    /// The number of the commit that is not whole, if that much of it is there.
    pub(crate) number: Option<u64>,
}

impl Torn {
    /// Removes it. Only for what nobody was told is committed.
    pub(crate) fn cut(&self) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.file)?;
        file.set_len(self.at)?;
        file.sync_all()
    }
}

/// Walks the log in a tree's directory. An error of kind `InvalidData` names where commits are missing in its middle.
pub(crate) fn survey(directory: &Path) -> io::Result<Survey> {
    let version = fs::read(directory.join("version"))?;
    if version != MAGIC {
        return Err(invalid(format!("its format version is {version:?}, and this program knows {MAGIC:?}")));
    }
    let files = files(directory)?;
    let mut walk = Walk::default();
    let mut torn = None;
    for (place, file) in files.iter().enumerate() {
        torn = walk.file(file)?;
        // A file is finished before the next one is begun, so only the last can have been cut short.
        if torn.is_some() && place + 1 < files.len() {
            return Err(walk.damaged(file));
        }
    }
    Ok(Survey { last: walk.last.map(|batch| batch.number), torn })
}

/// Whether a directory holds a tree whose making may have been cut short, and nothing else: nothing was ever written to it.
pub(crate) fn is_unused(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let is_made_first = ["lock", "keyspaces", "version", "0.jnl"].iter().any(|&first| name == first);
        if !is_made_first {
            return Ok(false);
        }
    }
    // The first file of the log goes only when a second one has been begun.
    let log = directory.join("0.jnl");
    let is_blank = !log.try_exists()? || used(&log, 0)?.is_empty();
    Ok(is_blank && !has_tables(directory)?)
}

/// Whether anything was moved from the log into tables. Keyspace 0 is fjall's own and has some from the beginning.
fn has_tables(directory: &Path) -> io::Result<bool> {
    let keyspaces = directory.join("keyspaces");
    if !keyspaces.try_exists()? {
        return Ok(false);
    }
    for keyspace in fs::read_dir(keyspaces)? {
        let keyspace = keyspace?;
        let tables = keyspace.path().join("tables");
        if keyspace.file_name() != "0" && tables.try_exists()? && fs::read_dir(tables)?.next().is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The files of the log, oldest first.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
            files.push((number.ok_or_else(|| invalid(format!("{} is no file of a log", path.display())))?, path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// One commit in the log.
#[derive(Debug, Clone, Copy)]
struct Batch {
    /// The tree's own sequence: a later one hides an earlier one, and no checksum covers it.
    rank: u64,
    number: u64,
}

#[derive(Default)]
struct Walk {
    last: Option<Batch>,
    /// Where the last whole batch ended in the file that is being walked.
    at: u64,
}

impl Walk {
    /// Walks a file, which may end in a torn batch.
    fn file(&mut self, path: &Path) -> io::Result<Option<Torn>> {
        let mut frames = Frames::open(path, 0)?;
        self.at = 0;
        loop {
            match frames.batch() {
                Ok(batch) => {
                    let follows =
                        self.last.is_none_or(|last| last.number + 1 == batch.number && last.rank < batch.rank);
                    if !follows || batch.rank >= RANK_END {
                        return Err(self.damaged(path));
                    }
                    self.last = Some(batch);
                    self.at = frames.at;
                }
                Err(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
                    return self.end(path, frames.number);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What follows the last whole batch of a file: unused space, or a torn batch. Each batch was synced before the next was
    /// begun, so a whole one behind a torn one means damage.
    fn end(&self, path: &Path, number: Option<u64>) -> io::Result<Option<Torn>> {
        let rest = used(path, self.at)?;
        if rest.is_empty() {
            return Ok(None);
        }
        let keys = rest.windows(SEQUENCE_KEY.len()).enumerate().filter(|(_, bytes)| *bytes == SEQUENCE_KEY);
        for start in keys.filter_map(|(key, _)| key.checked_sub(FIRST_KEY_AT)) {
            if Frames::open(path, self.at + start as u64)?.batch().is_ok() {
                return Err(self.damaged(path));
            }
        }
        Ok(Some(Torn { file: path.to_owned(), at: self.at, number }))
    }

    fn damaged(&self, path: &Path) -> io::Error {
        let last = self.last.map_or_else(String::new, |last| format!(" after commit {}", last.number));
        invalid(format!("{} is damaged at byte {}{last}", path.display(), self.at))
    }
}

/// The frames of one file.
struct Frames {
    reader: BufReader<File>,
    at: u64,
    /// Over the items of the batch that is being read.
    checksum: Xxh3,
    /// The number of the batch that is being read, once it was seen.
    number: Option<u64>,
}

impl Frames {
    fn open(path: &Path, at: u64) -> io::Result<Self> {
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
        reader.seek(SeekFrom::Start(at))?;
        Ok(Self { reader, at, checksum: Xxh3::new(), number: None })
    }

    /// The next whole batch; `InvalidData` or `UnexpectedEof` where there is none.
    fn batch(&mut self) -> io::Result<Batch> {
        self.number = None;
        self.tag(START)?;
        let items = u32::from_le_bytes(self.take()?);
        let rank = u64::from_le_bytes(self.take()?);
        self.checksum.reset();
        for item in 0..items {
            self.item(item == 0)?;
        }
        let checksum = self.checksum.digest();
        self.tag(END)?;
        let is_whole = u64::from_le_bytes(self.take()?) == checksum && self.take()? == MAGIC;
        let number = self.number.filter(|_| is_whole).ok_or(ErrorKind::InvalidData)?;
        Ok(Batch { rank, number })
    }

    /// Passes an item; the first of a batch holds the commit's number.
    fn item(&mut self, is_first: bool) -> io::Result<()> {
        self.tag(ITEM)?;
        let _kind_compression_keyspace: [u8; 10] = self.take()?;
        let key_bytes = u64::from(u16::from_le_bytes(self.take()?));
        let _plain_bytes: [u8; 4] = self.take()?;
        let value_bytes = u64::from(u32::from_le_bytes(self.take()?));
        if !is_first {
            return self.pass(key_bytes + value_bytes);
        }
        if (key_bytes, value_bytes) != (SEQUENCE_KEY.len() as u64, 8) || self.take()? != SEQUENCE_KEY {
            return Err(ErrorKind::InvalidData.into());
        }
        self.number = Some(u64::from_le_bytes(self.take()?));
        Ok(())
    }

    fn tag(&mut self, expected: u8) -> io::Result<()> {
        let [tag] = self.take()?;
        if tag == expected { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.checksum.update(&bytes);
        self.at += N as u64;
        Ok(bytes)
    }

    fn pass(&mut self, bytes: u64) -> io::Result<()> {
        let mut left = bytes;
        while left > 0 {
            let buffered = self.reader.fill_buf()?;
            let passed = buffered.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let (passing, _) = buffered.split_at(passed);
            if passing.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.checksum.update(passing);
            self.reader.consume(passed);
            left -= passed as u64;
        }
        self.at += bytes;
        Ok(())
    }
}

/// The bytes of a file from a position to its unused space.
fn used(path: &Path, from: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut used = Vec::new();
    loop {
        let before = used.len();
        file.by_ref().take(BLANK_BYTES as u64).read_to_end(&mut used)?;
        if used.iter().skip(before).all(|&byte| byte == 0) {
            used.truncate(before);
            return Ok(used);
        }
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, message)
}
