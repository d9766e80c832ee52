//! DDB1: one document as one sealed object, the same bytes on every storage (FORMAT.md, "The object").
//!
//! Sealing binds the document to its store, address, version, times, schema and key; opening fails closed unless all of
//! them are what was asked for. Every write has a fresh key, so no nonce limit arises (NIST SP 800-38D, section 8.3).
//! The surprise: the header is not secret, and everything in it is authenticated, so a listing may trust a header only
//! after the whole object was opened.

mod header;
mod sidecar;
mod tally;

use std::fmt;
use std::sync::Arc;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::address::{Address, Names};
use crate::clock::Timestamp;
use crate::document::Document;
use crate::error::{Error, Result};
use crate::keyring::{Keyring, Root};
use crate::keys::fill_random;
use crate::name::{EntityId, SchemaId, WriterId};

use header::Header;
pub use sidecar::sidecar;
pub use tally::SealStats;
use tally::Tally;

const MAGIC: &[u8; 4] = b"DDB1";
const FORMAT: u8 = 1;
const SUITE: u8 = 1;
const FLAG_TOMBSTONE: u8 = 1;
/// The header up to its variable part.
const FIXED_BYTES: usize = 104;
/// What follows the header besides the body: commitment, GCM tag and checksum.
const TRAILER_BYTES: usize = 32 + 16 + 4;

/// The mark of one write: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct WriteId(pub [u8; 16]);

impl WriteId {
    /// A fresh one.
    pub fn random() -> Result<Self> {
        let mut id = Self([0; 16]);
        fill_random(&mut id.0)?;
        Ok(id)
    }
}

impl fmt::Debug for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// What is said about a version beside its document; all of it is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Counts from 1 in each life of an entity.
    pub version: u64,
    /// When the entity's life began.
    pub created: Timestamp,
    /// When this version was written; later than the version before it.
    pub updated: Timestamp,
    /// When it ends by itself, if ever.
    pub expires: Option<Timestamp>,
    /// The schema it was checked against, and that schema's version.
    pub schema: Option<(SchemaId, u32)>,
    /// The mark of the write.
    pub write_id: WriteId,
    /// Whether this version says that the entity was deleted.
    pub tombstone: bool,
}

/// A sealed object; only sealing, or parsing an image of one, makes it.
#[derive(Clone)]
pub struct Sealed(Bytes);

impl Sealed {
    /// Takes an image that another storage kept; its structure and checksum are verified, its seal is not.
    pub fn from_image(image: Bytes) -> Result<Self> {
        Header::parse_object(&image)?;
        Ok(Self(image))
    }

    /// The image.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// An opened object: what it says, and the document unless it is a tombstone.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Everything but the document.
    pub meta: Meta,
    /// The document; `None` for a tombstone.
    pub document: Option<Document>,
}

/// Seals and opens the objects of one store.
#[derive(Debug)]
pub struct Sealer {
    keyring: Arc<Keyring>,
    names: Arc<Names>,
    writer: WriterId,
    tally: Tally,
}

impl Sealer {
    /// A sealer that signs its objects as `writer`.
    pub fn new(keyring: Arc<Keyring>, names: Arc<Names>, writer: WriterId) -> Self {
        Self { keyring, names, writer, tally: Tally::default() }
    }

    /// The names of the store.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// The keys of the store.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// What it did so far.
    pub fn stats(&self) -> SealStats {
        self.tally.stats()
    }

    /// Seals a document at its address under the active key, with a fresh nonce.
    pub fn seal(&self, id: &EntityId, address: &Address, document: &Document, meta: &Meta) -> Result<Sealed> {
        let mut nonce = [0; 32];
        let sealed = fill_random(&mut nonce)
            .and_then(|()| seal_with(&self.keyring.active(), id, address, document, meta, &self.writer, nonce));
        self.tally.sealed(sealed)
    }

    /// Opens an object that was read at `address`; anything but the very object sealed for it is refused.
    pub fn open(&self, id: &EntityId, address: &Address, image: &[u8]) -> Result<Opened> {
        self.tally.opened(self.open_at(id, address, image))
    }

    fn open_at(&self, id: &EntityId, address: &Address, image: &[u8]) -> Result<Opened> {
        let header = Header::parse_object(image)?;
        if header.sealed_name != address.sealed_name {
            return Err(Error::damaged("an object lies where another one belongs").with_code("misplaced"));
        }
        self.open_parsed(id, image, &header)
    }

    /// Opens an object whose place only its own header tells.
    pub fn open_anywhere(&self, image: &[u8]) -> Result<(EntityId, Opened)> {
        let open = || {
            let header = Header::parse_object(image)?;
            let id = self.names.open(header.sealed_name)?;
            let opened = self.open_parsed(&id, image, &header)?;
            Ok((id, opened))
        };
        self.tally.opened(open())
    }

    fn open_parsed(&self, id: &EntityId, image: &[u8], header: &Header<'_>) -> Result<Opened> {
        let root = self.keyring.find(header.key_id).ok_or_else(|| {
            let message = format!("an object is sealed under key {:?}, which this store does not have", header.key_id);
            Error::damaged(message).with_code("unknown_key")
        })?;
        let document = open_body(&root, id, image, header)?;
        let meta = header.meta()?;
        Ok(Opened { document: (!meta.tombstone).then_some(document), meta })
    }
}

/// The size of a header whose body ends the image 8-byte aligned (a tombstone: 4 bytes off), and its padding.
fn header_bytes(variable: usize, body: usize, tombstone: bool) -> (usize, usize) {
    let unpadded = FIXED_BYTES + variable + TRAILER_BYTES + body;
    let target = if tombstone { 4 } else { 0 };
    let padding = (8 + target - unpadded % 8) % 8;
    (FIXED_BYTES + variable + padding, padding)
}

fn seal_with(
    root: &Root,
    id: &EntityId,
    address: &Address,
    document: &Document,
    meta: &Meta,
    writer: &WriterId,
    nonce: [u8; 32],
) -> Result<Sealed> {
    let body: &[u8] = if meta.tombstone { b"" } else { document.bytes() };
    let (schema, schema_version) = meta.schema.as_ref().map_or(("", 0), |(id, version)| (id.as_str(), *version));
    let texts = [root.id().as_str().as_bytes(), writer.as_str().as_bytes(), schema.as_bytes()];
    let variable = texts.iter().map(|text| text.len()).sum::<usize>() + address.sealed_name.len();
    let (header, padding) = header_bytes(variable, body.len(), meta.tombstone);
    let too_large = || Error::too_large("a document of 4 GiB or more cannot be sealed");

    let mut image = Vec::with_capacity(header + TRAILER_BYTES + body.len());
    image.extend_from_slice(MAGIC);
    image.extend_from_slice(&[FORMAT, SUITE, if meta.tombstone { FLAG_TOMBSTONE } else { 0 }, 0]);
    image.extend_from_slice(&u16::try_from(header).map_err(|_| too_large())?.to_le_bytes());
    image.extend_from_slice(&u16::try_from(address.sealed_name.len()).map_err(|_| too_large())?.to_le_bytes());
    for text in texts {
        image.push(u8::try_from(text.len()).map_err(|_| too_large())?);
    }
    image.push(u8::try_from(padding).map_err(|_| too_large())?);
    let expires = meta.expires.unwrap_or_default();
    for number in [meta.version, meta.created.0, meta.updated.0, expires.0] {
        image.extend_from_slice(&number.to_le_bytes());
    }
    image.extend_from_slice(&schema_version.to_le_bytes());
    image.extend_from_slice(&u32::try_from(body.len()).map_err(|_| too_large())?.to_le_bytes());
    image.extend_from_slice(&meta.write_id.0);
    image.extend_from_slice(&nonce);
    for text in texts {
        image.extend_from_slice(text);
    }
    image.extend_from_slice(&address.sealed_name);
    image.resize(header, 0);

    let keys = root.document_key(&id.database, &Sha256::digest(&image));
    let (cipher, commitment) = split(&keys)?;
    image.extend_from_slice(commitment);
    image.extend_from_slice(body);
    let (associated, body) = image.split_at_mut(header + commitment.len());
    let tag = cipher
        .encrypt_inout_detached(&iv(&nonce)?, associated, body.into())
        .map_err(|_| Error::internal("AES-GCM refused to encrypt"))?;
    image.extend_from_slice(&tag);
    let checksum = crc32c::crc32c(&image);
    image.extend_from_slice(&checksum.to_le_bytes());
    Ok(Sealed(image.into()))
}

fn open_body(root: &Root, id: &EntityId, image: &[u8], header: &Header<'_>) -> Result<Document> {
    let (head, rest) = image.split_at_checked(header.bytes).ok_or_else(shorter)?;
    let (commitment, rest) = rest.split_at_checked(32).ok_or_else(shorter)?;
    let (body, trailer) = rest.split_at_checked(header.body_bytes).ok_or_else(shorter)?;
    let tag: Tag = trailer.get(..16).and_then(|tag| tag.try_into().ok()).ok_or_else(shorter)?;

    let keys = root.document_key(&id.database, &Sha256::digest(head));
    let (cipher, expected) = split(&keys)?;
    if !bool::from(expected.ct_eq(commitment)) {
        let message = format!("an object under key {:?} was sealed with another, wrong or retired key", header.key_id);
        return Err(Error::damaged(message).with_code("wrong_key"));
    }
    let associated = image.get(..header.bytes + 32).ok_or_else(shorter)?;
    let mut plain = body.to_vec();
    cipher
        .decrypt_inout_detached(&iv(header.nonce)?, associated, plain.as_mut_slice().into(), &tag)
        .map_err(|_| Error::damaged("an object does not pass its authentication tag"))?;
    Ok(Document::trusted(plain.into()))
}

/// `E` as a cipher, and `T`.
fn split(keys: &crate::keys::Secret<64>) -> Result<(Aes256Gcm, &[u8])> {
    let (key, commitment) = keys.expose().split_at(32);
    let cipher = Aes256Gcm::new_from_slice(key).map_err(|_| Error::internal("no AES-256 key"))?;
    Ok((cipher, commitment))
}

fn iv(nonce: &[u8]) -> Result<Nonce<aes_gcm::aead::consts::U12>> {
    nonce.get(20..32).and_then(|iv| iv.try_into().ok()).ok_or_else(shorter)
}

fn shorter() -> Error {
    Error::damaged("an object is shorter than its header says")
}

/// What a header says, unverified until its object was opened: good enough to expect a revision, since a storage decides
/// the race and the next version is bound into its own seal.
pub fn peek(start: &[u8]) -> Result<Meta> {
    Header::parse(start)?.meta()
}

/// The entity that a header names, if this store's name key made the name.
pub fn peek_name(start: &[u8]) -> Result<&[u8]> {
    Ok(Header::parse(start)?.sealed_name)
}

/// The write id of a sealed image; `None` if it is not one.
pub fn write_id_of(image: &[u8]) -> Option<[u8; 16]> {
    image.strip_prefix(MAGIC)?;
    image.get(56..72)?.try_into().ok()
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
