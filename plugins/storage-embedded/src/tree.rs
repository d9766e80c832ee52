//! The tree: a fjall database with one keyspace a space, and what its calls mean for us.
//!
//! Every call here blocks. What it refuses to own: who may write (the committer), and whether what it recovered is all
//! there was (`recovery`). The surprise: after a commit fjall itself waits without an end for its background work, even for
//! work that has died, so we wait before a commit instead, and notice.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use delta_core::storage::{ObjectName, Revision, Space};
use delta_core::{Error, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, LsmError, OwnedWriteBatch, PersistMode};

use crate::config::Config;

/// Under which key each commit leaves its number, as its first item. No object has such a key: none holds a `#`.
pub(crate) const SEQUENCE_KEY: [u8; 9] = *b"#sequence";
/// How many keyspaces there are, beside the tree's own.
pub(crate) const KEYSPACES: usize = 8;
/// How much the keyspace of the sequence keeps in memory: one small entry a commit, all of them the same key.
const META_BUFFER_BYTES: u64 = 4 << 20;
/// Full buffers that wait to become tables before we wait; at 4 fjall would.
const SEALED_BUFFERS_MAX: usize = 3;
/// Tables that wait to be merged before we wait; at 30 fjall would.
const UNMERGED_TABLES_MAX: usize = 28;
/// How often we look whether the background work has caught up; fjall tells nobody.
const CATCH_UP_POLL: Duration = Duration::from_millis(1);

/// Which keyspace: a space of the store, or the damaged objects that were put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Shelf {
    Of(Space),
    Quarantine,
}

/// What a write makes of one object.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) shelf: Shelf,
    pub(crate) key: Bytes,
    /// The new image and its revision; `None` removes the object.
    pub(crate) to: Option<(Bytes, Revision)>,
}

/// Why a commit did not succeed.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// The tree had stopped before; nothing was written.
    Stopped(String),
    /// The disk failed on the way.
    Unknown(String),
}

/// The open tree. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tree {
    database: Database,
    store: Keyspace,
    entities: Keyspace,
    history: Keyspace,
    templates: Keyspace,
    auth: Keyspace,
    databases: Keyspace,
    quarantine: Keyspace,
    meta: Keyspace,
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tree")
    }
}

impl Tree {
    /// Opens the tree in a directory, or makes it.
    pub(crate) fn open(directory: &Path, config: &Config) -> Result<Self> {
        // fjall asserts where it finds what it never wrote; for us that is one more way of being damaged.
        let opened = catch_unwind(AssertUnwindSafe(|| Self::open_or_panic(directory, config)));
        opened.unwrap_or_else(|_| Err(Error::damaged("the tree does not open")))
    }

    fn open_or_panic(directory: &Path, config: &Config) -> Result<Self> {
        let builder = Database::builder(directory).cache_size(config.cache_bytes);
        // One thread: with more, the first spins for as long as another merges tables.
        let builder = builder.max_journaling_size(config.journal_bytes).manual_journal_persist(true).worker_threads(1);
        let database = builder.open().map_err(|error| unreadable(&error))?;
        let keyspace = |name: &str, buffer_bytes: u64| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(buffer_bytes);
            database.keyspace(name, options).map_err(|error| unreadable(&error))
        };
        let of = |space: Space| keyspace(space.as_str(), config.write_buffer_bytes);
        Ok(Self {
            store: of(Space::Store)?,
            entities: of(Space::Entities)?,
            history: of(Space::History)?,
            templates: of(Space::Templates)?,
            auth: of(Space::Auth)?,
            databases: of(Space::Databases)?,
            quarantine: keyspace("_quarantine", config.write_buffer_bytes)?,
            meta: keyspace("_meta", META_BUFFER_BYTES)?,
            database,
        })
    }

    pub(crate) fn keyspace(&self, shelf: Shelf) -> &Keyspace {
        match shelf {
            Shelf::Of(Space::Store) => &self.store,
            Shelf::Of(Space::Entities) => &self.entities,
            Shelf::Of(Space::History) => &self.history,
            Shelf::Of(Space::Templates) => &self.templates,
            Shelf::Of(Space::Auth) => &self.auth,
            Shelf::Of(Space::Databases) => &self.databases,
            Shelf::Quarantine => &self.quarantine,
        }
    }

    /// The image under a key. It was durable before it could be found here.
    pub(crate) fn get(&self, shelf: Shelf, key: &[u8]) -> Result<Option<Bytes>> {
        let found = self.keyspace(shelf).get(key).map_err(|error| unreadable(&error))?;
        Ok(found.map(Bytes::from))
    }

    /// The number of the last commit that this tree holds; 0 for a new one.
    pub(crate) fn sequence(&self) -> Result<u64> {
        let found = self.meta.get(SEQUENCE_KEY).map_err(|error| unreadable(&error))?;
        let Some(bytes) = found else { return Ok(0) };
        let bytes =
            <[u8; 8]>::try_from(&*bytes).map_err(|_| Error::damaged("the number of the last commit is damaged"))?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes changes of different objects as one batch with one fdatasync; they become visible after it.
    pub(crate) fn commit(
        &self,
        sequence: u64,
        changes: impl ExactSizeIterator<Item = Change>,
    ) -> Result<(), CommitError> {
        self.catch_up()?;
        let batch = OwnedWriteBatch::with_capacity(self.database.clone(), changes.len() + 1);
        let mut batch = batch.durability(Some(PersistMode::SyncData));
        batch.insert(&self.meta, SEQUENCE_KEY, sequence.to_le_bytes());
        for change in changes {
            let keyspace = self.keyspace(change.shelf);
            match change.to {
                Some((image, _)) => batch.insert(keyspace, change.key, image),
                None => batch.remove(keyspace, change.key),
            }
        }
        batch.commit().map_err(|error| match error {
            // Checked before anything is written.
            fjall::Error::Poisoned => CommitError::Stopped(STOPPED.into()),
            error => CommitError::Unknown(why(&error)),
        })
    }

    /// Waits until the background work is no more than a little behind, or has died.
    fn catch_up(&self) -> Result<(), CommitError> {
        while self.keyspaces().iter().any(|keyspace| is_behind(keyspace)) {
            self.alive().map_err(|error| CommitError::Stopped(error.to_string()))?;
            std::thread::sleep(CATCH_UP_POLL);
        }
        Ok(())
    }

    /// Whether the tree still takes writes; it stops for good when its background work fails.
    pub(crate) fn alive(&self) -> Result<()> {
        // The one public call that looks: everything is written to the operating system already, so it does nothing else.
        match self.database.persist(PersistMode::Buffer) {
            Ok(()) => Ok(()),
            Err(fjall::Error::Poisoned) => Err(Error::unavailable(STOPPED)),
            Err(error) => Err(Error::unavailable(why(&error))),
        }
    }

    fn keyspaces(&self) -> [&Keyspace; KEYSPACES] {
        let Self { database: _, store, entities, history, templates, auth, databases, quarantine, meta } = self;
        [store, entities, history, templates, auth, databases, quarantine, meta]
    }
}

const STOPPED: &str = "moving writes into tables failed";

fn is_behind(keyspace: &Keyspace) -> bool {
    keyspace.sealed_memtable_count() >= SEALED_BUFFERS_MAX || keyspace.l0_table_count() >= UNMERGED_TABLES_MAX
}

/// The key of an object in its keyspace: `<group>/<name>`.
pub(crate) fn object_key(name: &ObjectName) -> Result<Bytes> {
    let key = [name.group.as_str().as_bytes(), b"/", name.name.as_bytes()].concat();
    match u16::try_from(key.len()) {
        Ok(_) => Ok(key.into()),
        Err(_) => Err(Error::too_large(format!("a name may have {} bytes in this storage", u16::MAX))),
    }
}

/// What a failed read means: the disk may recover, and what is damaged does not.
pub(crate) fn unreadable(error: &fjall::Error) -> Error {
    match error {
        fjall::Error::Io(_)
        | fjall::Error::Storage(LsmError::Io(_))
        | fjall::Error::Poisoned
        | fjall::Error::Locked => Error::unavailable(format!("the store cannot be read: {}", why(error))),
        error => Error::damaged(format!("the store is damaged: {}", why(error))),
    }
}

/// The reason in words, without the type names around it.
fn why(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => error.to_string(),
        fjall::Error::Poisoned => STOPPED.into(),
        error => format!("{error:?}"),
    }
}
