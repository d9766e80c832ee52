//! The number of the last committed batch, in a small file beside the tree.
//!
//! Two slots are written in turn, each with a checksum, so that one is always whole. It is not synced: after a power cut it
//! may be older than the tree, never newer, and only "newer than the tree" means that something was lost.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// A number of 8 bytes and its CRC-32C, padded.
const SLOT_BYTES: usize = 16;

/// The open file.
#[derive(Debug)]
pub(crate) struct SequenceFile(File);

impl SequenceFile {
    /// Opens the file or makes it, and answers the newest number it holds; 0 for a new file.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, u64)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut newest = 0;
        for slot in 0..2 {
            let mut bytes = [0; SLOT_BYTES];
            if file.read_exact_at(&mut bytes, slot * SLOT_BYTES as u64).is_ok() {
                newest = newest.max(parse(&bytes).unwrap_or(0));
            }
        }
        Ok((Self(file), newest))
    }

    /// Notes a number, in the slot that the one before it did not use.
    pub(crate) fn note(&self, number: u64) -> io::Result<()> {
        let mut bytes = [0; SLOT_BYTES];
        let (value, rest) = bytes.split_at_mut(8);
        value.copy_from_slice(&number.to_le_bytes());
        let checksum = crc32c::crc32c(value);
        for (to, from) in rest.iter_mut().zip(checksum.to_le_bytes()) {
            *to = from;
        }
        self.0.write_all_at(&bytes, (number % 2) * SLOT_BYTES as u64)
    }
}

fn parse(bytes: &[u8; SLOT_BYTES]) -> Option<u64> {
    let (value, rest) = bytes.split_first_chunk::<8>()?;
    let checksum = rest.first_chunk::<4>()?;
    (crc32c::crc32c(value) == u32::from_le_bytes(*checksum)).then(|| u64::from_le_bytes(*value))
}
