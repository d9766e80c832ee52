//! What the fuzz targets check, one function a target: it takes any bytes, and panics where a promise does not hold.
//!
//! The binaries that cargo-fuzz runs only call these. The tests of the workspace replay the corpus through them, so that
//! what was once found stays fixed.

#![expect(clippy::expect_used, reason = "a panic is how a target reports what it found")]

mod json;
mod sealed;

pub use json::{body, patch, pointer};
pub use sealed::{codec, cursor, names, superblock};

/// A target.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its corpus.
pub const TARGETS: [(&str, Target); 7] = [
    ("body", body),
    ("codec", codec),
    ("cursor", cursor),
    ("names", names),
    ("patch", patch),
    ("pointer", pointer),
    ("superblock", superblock),
];

/// The text before and the text behind the first zero byte.
fn two(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    (data.get(..end).unwrap_or_default(), data.get(end + 1..).unwrap_or_default())
}

/// Changes genuine bytes: each three bytes of `edits` are a place and what is xored there.
fn edited(genuine: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = genuine.to_vec();
    for edit in edits.chunks_exact(3) {
        if let [low, high, mask] = edit {
            let place = usize::from(u16::from_le_bytes([*low, *high])) % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= mask;
            }
        }
    }
    bytes
}
