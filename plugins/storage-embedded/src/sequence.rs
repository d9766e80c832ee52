//! The number of the last commit, in a small file beside the tree.
//!
//! Two slots are written in turn, each with a checksum, so that one is always whole. It is not synced: after a power cut it
//! may be older than the tree, never newer, and only "newer than the tree" means that something was lost.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// A number of 8 bytes and its CRC-32C, padded.
const SLOT_BYTES: usize = 16;
const SLOTS: u64 = 2;

/// The open file.
#[derive(Debug)]
pub(crate) struct SequenceFile(File);

impl SequenceFile {
    /// Makes the file for a new store, durably: from now on a store without it is damaged.
    pub(crate) fn create(path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        // At its full size from the start, so that no later write changes more than bytes in place.
        file.set_len(SLOTS * SLOT_BYTES as u64)?;
        Self(file.try_clone()?).note(0)?;
        file.sync_all()
    }

    /// Opens the file and answers the newest number it holds; an error of kind `InvalidData` if it holds none.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, u64)> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut newest = None;
        for slot in 0..SLOTS {
            let mut bytes = [0; SLOT_BYTES];
            if file.read_exact_at(&mut bytes, slot * SLOT_BYTES as u64).is_ok() {
                newest = newest.max(parse(bytes));
            }
        }
        let newest = newest.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it holds no whole number"))?;
        Ok((Self(file), newest))
    }

    /// Notes a number, in the slot that the one before it did not use.
    pub(crate) fn note(&self, number: u64) -> io::Result<()> {
        self.0.write_all_at(&render(number), number % SLOTS * SLOT_BYTES as u64)
    }

    /// Makes what was noted durable, for an orderly end.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

fn render(number: u64) -> [u8; SLOT_BYTES] {
    let checksum = crc32c::crc32c(&number.to_le_bytes());
    (u128::from(checksum) << 64 | u128::from(number)).to_le_bytes()
}

fn parse(bytes: [u8; SLOT_BYTES]) -> Option<u64> {
    let number = u64::try_from(u128::from_le_bytes(bytes) & u128::from(u64::MAX)).ok()?;
    (render(number) == bytes).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sequence");
        SequenceFile::create(&path).unwrap();
        (directory, path)
    }

    #[test]
    fn the_newest_number_is_read_back() {
        let (_directory, path) = file();
        assert_eq!(SequenceFile::open(&path).unwrap().1, 0);
        for number in [1, 2, 3, 7, u64::MAX] {
            SequenceFile::open(&path).unwrap().0.note(number).unwrap();
            assert_eq!(SequenceFile::open(&path).unwrap().1, number);
        }
    }

    #[test]
    fn a_torn_slot_leaves_the_number_before_it() {
        let (_directory, path) = file();
        let (file, _) = SequenceFile::open(&path).unwrap();
        for number in 1..=9 {
            file.note(number).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        for torn in 0..SLOT_BYTES {
            let mut bytes = whole.clone();
            bytes[SLOT_BYTES + torn] ^= 0x40; // 9 lies in the second slot
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(SequenceFile::open(&path).unwrap().1, 8, "byte {torn}");
        }
    }

    #[test]
    fn no_number_at_all_is_an_error() {
        let (_directory, path) = file();
        for bytes in [vec![], vec![0; 32], vec![0xFF; 32]] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(SequenceFile::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(SequenceFile::open(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
