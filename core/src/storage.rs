//! The contract with a place that keeps objects.
//!
//! A storage sees opaque bytes under opaque names: never a key, a document or an entity key. It decides every race:
//! each write states what it expects to find, and exactly one of two writers that expect the same wins.
//! The surprise: `Failed`, `Conflict` and `OutcomeUnknown` are three answers, and the last is never given as one of
//! the first two.

use std::fmt::{self, Debug};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::seal::Sealed;

/// A kind of object; a storage keeps each apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// The superblock, one object a generation.
    Store,
    /// Entities.
    Entities,
    /// Earlier versions of entities.
    History,
    /// Schemas, in plain JSON.
    Templates,
    /// API keys and ended sessions.
    Auth,
    /// Database settings.
    Databases,
}

impl Space {
    /// Every space, in a fixed order.
    pub const ALL: [Self; 6] =
        [Self::Store, Self::Entities, Self::History, Self::Templates, Self::Auth, Self::Databases];

    /// The directory, prefix or keyspace of this space.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "_store",
            Self::Entities => "files",
            Self::History => "history",
            Self::Templates => "templates",
            Self::Auth => "_auth",
            Self::Databases => "_databases",
        }
    }
}

/// What belongs together in a space: the tag of a database, or nothing where a space has no groups.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Group(Box<str>);

impl Group {
    /// The group of a space that has no others.
    pub fn none() -> Self {
        Self::default()
    }

    /// A group by its text, as core computed it or a storage read it back.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The group as text; empty for [`Group::none`].
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.0, f)
    }
}

/// The name of one object. Core computes it; a storage only spells it as a path.
///
/// Group and name hold only `[0-9A-Za-z._%@-]`, so a storage can use them as path segments; a name has 240 bytes at
/// most, or with plain names as many as the escaped database and key need.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The space it lies in.
    pub space: Space,
    /// What it belongs to.
    pub group: Group,
    /// Its name within the group.
    pub name: Box<str>,
    /// Whether the name is sealed, and so evenly spread over [`ObjectName::shard`].
    pub sealed: bool,
}

impl ObjectName {
    /// The directory that a sealed name is spread into: its first character after any `_`; none for a plain one.
    pub fn shard(&self) -> Option<char> {
        if self.sealed { self.name.trim_start_matches('_').chars().next() } else { None }
    }
}

impl fmt::Display for ObjectName {
    /// Space, group and name, for people: `files/0a1b2c3d/8h7…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.space.as_str())?;
        let parts = [self.group.as_str(), &*self.name];
        parts.iter().filter(|part| !part.is_empty()).try_for_each(|part| write!(f, "/{part}"))
    }
}

/// Which state of an object was seen: opaque, and different for every write.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Revision(Bytes);

impl Revision {
    /// A revision that the storage itself issues, an ETag for example.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The revision of an object image, for storages that issue none: the write id of a sealed object, else the first
    /// 16 bytes of the image's SHA-256.
    pub fn of(image: &[u8]) -> Self {
        match crate::seal::write_id_of(image) {
            Some(write_id) => Self(Bytes::copy_from_slice(&write_id)),
            None => Self(Bytes::copy_from_slice(Sha256::digest(image).as_slice()).slice(..16)),
        }
    }

    /// The revision as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// What a write demands to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there.
    Anything,
    /// Nothing.
    Absent,
    /// The object in this very state.
    Revision(Revision),
}

impl Expect {
    /// Whether `found` is what was demanded.
    pub fn holds(&self, found: Option<&Revision>) -> bool {
        match self {
            Self::Anything => true,
            Self::Absent => found.is_none(),
            Self::Revision(wanted) => found == Some(wanted),
        }
    }
}

/// What can be stored: a sealed object, or one of the few that are public by nature.
#[derive(Clone)]
pub enum Object {
    /// Encrypted and bound to its address.
    Sealed(Sealed),
    /// The superblock or a schema: nothing secret.
    Public(Public),
}

impl Object {
    /// The bytes to keep.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Sealed(sealed) => sealed.bytes(),
            Self::Public(public) => &public.0,
        }
    }

    /// The revision under which a storage that issues none of its own keeps it.
    pub fn revision(&self) -> Revision {
        Revision::of(self.bytes())
    }
}

impl Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Sealed(_) => "sealed",
            Self::Public(_) => "public",
        };
        write!(f, "Object({kind}, {} bytes)", self.bytes().len())
    }
}

/// Bytes that may be stored as they are; only core can build one, for the superblock and for schemas.
#[derive(Clone)]
pub struct Public(Bytes);

impl Public {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

/// An object as it was found. The bytes are not to be trusted before they were opened.
#[derive(Clone)]
pub struct Stored {
    /// The whole image.
    pub bytes: Bytes,
    /// The state that was read.
    pub revision: Revision,
}

impl Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stored({} bytes, {:?})", self.bytes.len(), self.revision)
    }
}

/// The beginning of an object: its whole header at least.
#[derive(Clone)]
pub struct StoredHead {
    /// The image from its first byte, cut anywhere behind the header.
    pub start: Bytes,
    /// The size of the whole image in bytes.
    pub size_bytes: u64,
    /// The state that was read.
    pub revision: Revision,
}

impl Debug for StoredHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredHead({} bytes, {:?})", self.size_bytes, self.revision)
    }
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The object's name within its group.
    pub name: Box<str>,
    /// The size of its image in bytes.
    pub size_bytes: u64,
}

/// One write of a batch.
#[derive(Debug, Clone)]
pub struct Write {
    /// Which object.
    pub name: ObjectName,
    /// What becomes of it: `Some` replaces it, `None` removes it.
    pub object: Option<Object>,
    /// What the write demands to find.
    pub expect: Expect,
}

/// Something in a store's place that is no object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Where it lies, for people.
    pub place: String,
    /// What it is.
    pub kind: StrayKind,
}

/// What lies beside the objects, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StrayKind {
    /// Nothing of the store's; it stays where it is.
    Foreign,
    /// What a process that died had not finished; it was removed.
    Leftover,
    /// A view derived from an object, missing or wrong; it was made anew.
    Renewed,
    /// A derived view that nothing needs; it was removed.
    Orphan,
}

/// What a storage can do beyond the contract: data, not sub-traits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Other processes may write the same store at the same time.
    pub shared: bool,
    /// A delete can be conditional; where it cannot, core writes a tombstone instead.
    pub conditional_delete: bool,
    /// [`Storage::write_batch`] is all or nothing.
    pub atomic_batch: bool,
    /// What was written survives the end of the process.
    pub durable: bool,
    /// A person can put schemas there past every process, as files in a directory for example; they count at once.
    pub hand_made_schemas: bool,
}

/// A place that keeps objects under names. Every sentence here is a test in [`crate::conformance::storage`].
#[async_trait]
pub trait Storage: Debug + Send + Sync + 'static {
    /// What this storage can do; the same answer every time.
    fn capabilities(&self) -> Capabilities;

    /// The object under a name, or `None`. A reader sees a whole object: the one before a write or the one after it.
    async fn get(&self, name: &ObjectName) -> Result<Option<Stored>>;

    /// The header of an object and its revision, without its body where the storage can. It agrees with
    /// [`Storage::get`].
    async fn head(&self, name: &ObjectName) -> Result<Option<StoredHead>>;

    /// Keeps an object, atomically and durably: once this returns, a crash loses nothing, and every later read sees it.
    /// If `expect` does not hold, nothing changes and the error is `Conflict`. If it cannot be known whether the object
    /// was kept, the error is `OutcomeUnknown`; any other error means that nothing changed.
    async fn put(&self, name: &ObjectName, object: &Object, expect: &Expect) -> Result<Revision>;

    /// Removes an object, as durably as [`Storage::put`] keeps one. Removing what is not there succeeds unless `expect`
    /// demanded it.
    async fn delete(&self, name: &ObjectName, expect: &Expect) -> Result<()>;

    /// Several writes at once, answered in order; a removal answers `None`. Where [`Capabilities::atomic_batch`] holds
    /// the batch is all or nothing: if one expectation fails nothing changes, the failing writes answer `Conflict`, and
    /// so do the others, under the code `batch_not_applied`.
    async fn write_batch(&self, writes: Vec<Write>) -> Result<Vec<Result<Option<Revision>>>>;

    /// The names and sizes in one group, in no order: a stream, so that a million names need no memory here. What is
    /// written while it runs may be missing or present.
    fn list(&self, space: Space, group: &Group) -> BoxStream<'_, Result<Listed>>;

    /// The groups of a space that hold at least one object, each once, in no order.
    async fn groups(&self, space: Space) -> Result<Vec<Group>>;

    /// Moves a damaged object out of the way, keeping its bytes for a person; the name is free afterwards.
    async fn quarantine(&self, name: &ObjectName) -> Result<()>;

    /// Puts in order what lies beside the objects, and tells of each thing it found; a second time only what is foreign is
    /// left. No object is changed. Only for whoever has the store alone.
    fn tidy(&self) -> BoxStream<'_, Result<Stray>> {
        stream::empty().boxed()
    }

    /// Whether reads and writes can be expected to work now; the error says why not.
    async fn ready(&self) -> Result<()>;

    /// Ends all work: what was acknowledged stays, later writes fail as `Unavailable`.
    async fn close(&self) -> Result<()>;
}
