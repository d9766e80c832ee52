//! What a client can do: one trait, done here by the [`crate::engine::Engine`] or elsewhere by a worker.
//!
//! REST and gRPC are skins over it, so neither can do what the other cannot. Every operation takes the principal first.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;

use crate::auth::Principal;
use crate::clock::Timestamp;
use crate::cursor::Cursor;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::name::{DatabaseName, EntityId, EntityKey, SchemaId};
use crate::patch::Patch;
use crate::seal::Meta;

/// The most entities that one [`Entities::put_many`] takes where nothing else is configured.
pub const BATCH_ENTITIES_MAX: usize = 1_000;
/// The most keys that one page of a listing holds.
pub const PAGE_KEYS_MAX: usize = 1_000;
/// The most bytes of documents that one [`Entities::get_many`] answers.
pub const BATCH_BYTES_MAX: usize = 16 << 20;

/// Which write an answer stands for: `"<version>-<8 bytes of its write id>"`, quotes included (RFC 9110, section 8.8.3).
///
/// Equal tags mean the same write, so delete and re-create cannot fool a cache or an `If-Match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ETag {
    version: u64,
    write: [u8; 8],
}

impl ETag {
    /// The version of the entity, counted from 1 in each of its lives.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The tag as a header carries it. Put together by hand: the formatter takes ten times as long, on every read.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(40);
        text.push('"');
        text.push_str(&self.version.to_string());
        text.push('-');
        data_encoding::HEXLOWER.encode_append(&self.write, &mut text);
        text.push('"');
        text
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl FromStr for ETag {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let inner = text.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let parsed = inner.and_then(|inner| inner.split_once('-')).and_then(|(version, write)| {
            let write = data_encoding::HEXLOWER.decode(write.as_bytes()).ok()?;
            Some(Self { version: version.parse().ok()?, write: write.try_into().ok()? })
        });
        parsed.ok_or_else(|| {
            Error::invalid("invalid_etag", "this is not an ETag of this server, like \"3-0011223344556677\"")
        })
    }
}

impl Meta {
    /// The tag of this version.
    pub fn etag(&self) -> ETag {
        let [a, b, c, d, e, f, g, h, ..] = self.write_id.0;
        ETag { version: self.version, write: [a, b, c, d, e, f, g, h] }
    }
}

/// A document and which version of its entity it is.
#[derive(Debug, Clone)]
pub struct Entity {
    /// The document, byte for byte as it was written.
    pub document: Document,
    /// The version.
    pub etag: ETag,
    /// When this version was written; a skin may round it down to the second.
    pub updated: Timestamp,
}

/// What must hold for a write to happen (RFC 9110, section 13).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// The entity does not exist (`If-None-Match: *`).
    Absent,
    /// The entity exists (`If-Match: *`).
    Exists,
    /// The entity is one of these versions (`If-Match`).
    Matches(Vec<ETag>),
    /// The entity is none of these versions, or does not exist (`If-None-Match`).
    NoneOf(Vec<ETag>),
}

impl Precondition {
    /// Refuses with `PreconditionFailed` unless the condition holds for what was found.
    pub fn check(&self, found: Option<ETag>) -> Result<()> {
        let (holds, wanted) = match self {
            Self::None => (true, ""),
            Self::Absent => (found.is_none(), "the entity exists already"),
            Self::Exists => (found.is_some(), "the entity does not exist"),
            Self::Matches(tags) => (
                found.is_some_and(|etag| tags.contains(&etag)),
                "the entity is not the version that If-Match names; read it again",
            ),
            Self::NoneOf(tags) => {
                (found.is_none_or(|etag| !tags.contains(&etag)), "the entity is a version that If-None-Match names")
            }
        };
        if holds { Ok(()) } else { Err(Error::new(ErrorKind::PreconditionFailed, wanted)) }
    }
}

/// How an entity is written.
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// The schema that the request names.
    pub schema: Option<SchemaId>,
    /// What must hold.
    pub precondition: Precondition,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The version that is now current.
    pub etag: ETag,
    /// When it was written; a skin may round it down to the second.
    pub updated: Timestamp,
    /// Whether there was nothing before.
    pub created: bool,
}

/// Which part of a listing is wanted.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Where the page before ended; a cursor counts only for the database and prefix it was given for.
    pub cursor: Option<Cursor>,
    /// At most so many keys, and never more than [`PAGE_KEYS_MAX`].
    pub limit: usize,
    /// Whether each key comes with what its object's header says, which costs a read for each.
    pub metadata: bool,
}

impl Default for ListQuery {
    fn default() -> Self {
        Self { prefix: String::new(), cursor: None, limit: PAGE_KEYS_MAX, metadata: false }
    }
}

/// What the header of an entity's object says. Only opening the object proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyMeta {
    /// The version.
    pub etag: ETag,
    /// When it was written.
    pub updated: Timestamp,
    /// The schema that its document was checked against.
    pub schema: Option<SchemaId>,
}

/// One key of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// The key.
    pub key: EntityKey,
    /// The size of the sealed object in bytes.
    pub size_bytes: u64,
    /// What its header says, where the query asked for it.
    pub meta: Option<KeyMeta>,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The keys, in ascending order of their bytes.
    pub items: Vec<ListedKey>,
    /// Where the next page begins, if there are more keys.
    pub next: Option<Cursor>,
}

/// What a client can do. Every sentence here is a test in [`crate::conformance::entities`].
#[async_trait]
pub trait Entities: fmt::Debug + Send + Sync + 'static {
    /// The entity, or `NotFound`. Needs read.
    async fn get(&self, who: &Principal, id: &EntityId) -> Result<Entity>;

    /// Writes an entity; `Ok` means that a crash cannot lose it. The document is checked against the schema that applies
    /// first, and versions count up by one. Needs write.
    async fn put(&self, who: &Principal, id: &EntityId, document: Document, options: &PutOptions) -> Result<Written>;

    /// Writes many entities of one database, answered in order. Every document is checked before any is written; where
    /// the storage can, all are written or none. A key that is named twice is refused, and so are none or too many.
    /// Needs write.
    async fn put_many(
        &self,
        who: &Principal,
        database: &DatabaseName,
        documents: Vec<(EntityKey, Document)>,
        schema: Option<&SchemaId>,
    ) -> Result<Vec<Result<Written>>>;

    /// Changes a part of an entity: the patch is applied to what is there, and the result is written like any document.
    /// Without a precondition it is applied again if somebody else was faster, so no patch is lost; an entity that does
    /// not exist is `NotFound`. Needs write.
    async fn patch(&self, who: &Principal, id: &EntityId, patch: &Patch, options: &PutOptions) -> Result<Written>;

    /// Removes an entity, and says whether there was one; without a precondition, removing nothing succeeds. Needs write.
    async fn delete(&self, who: &Principal, id: &EntityId, precondition: &Precondition) -> Result<bool>;

    /// Many entities of one database, in the order they are asked for; `None` for one that does not exist. No key or too
    /// many are refused, and so is an answer of more than [`BATCH_BYTES_MAX`] bytes. Needs read.
    async fn get_many(
        &self,
        who: &Principal,
        database: &DatabaseName,
        keys: &[EntityKey],
    ) -> Result<Vec<Option<Entity>>>;

    /// A page of the keys of a database, in order; an unknown database has none. A key that is there all the while is on
    /// exactly one page, whatever is written between the pages. Needs read.
    async fn list(&self, who: &Principal, database: &DatabaseName, query: &ListQuery) -> Result<Page>;

    /// The databases that hold entities and that the caller may read, in order.
    async fn databases(&self, who: &Principal) -> Result<Vec<DatabaseName>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_reads_back_and_nothing_else_does() {
        let tag = ETag { version: 3, write: [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0xff] };
        assert_eq!(tag.to_string(), "\"3-00112233445566ff\"");
        assert_eq!(tag.to_string().parse::<ETag>().unwrap(), tag);
        for bad in ["", "3-00112233445566ff", "\"3-0011\"", "\"x-00112233445566ff\"", "W/\"3-00112233445566ff\"", "*"] {
            assert_eq!(bad.parse::<ETag>().unwrap_err().code(), "invalid_etag", "{bad}");
        }
    }
}
