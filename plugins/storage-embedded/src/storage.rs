//! The storage: names and objects as keys and values of the tree.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use delta_core::storage::{
    Capabilities, Expect, Group, Listed, Object, ObjectName, Revision, Space, Storage, Stored, StoredHead, Write,
};
use delta_core::{Error, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::committer::{Committer, SEQUENCE_KEY};
use crate::config::Config;
use crate::sequence::SequenceFile;

/// How many names a listing reads before it hands them on.
const LIST_CHUNK: usize = 1024;

/// The keyspaces, one a space.
#[derive(Clone)]
pub(crate) struct Spaces(Vec<Keyspace>, Keyspace);

impl Spaces {
    pub(crate) fn keyspace(&self, space: Space) -> &Keyspace {
        self.0.get(space as usize).unwrap_or(&self.1)
    }

    pub(crate) fn get(&self, name: &ObjectName) -> Result<Option<fjall::Slice>> {
        self.keyspace(name.space).get(object_key(name)).map_err(|error| unreadable(&error))
    }
}

/// The open store.
pub struct EmbeddedStorage {
    spaces: Spaces,
    committer: Committer,
    /// One permit fewer than the runtime has threads.
    inline_reads: Semaphore,
    place: String,
    _exclusive: Exclusive,
}

impl fmt::Debug for EmbeddedStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmbeddedStorage({})", self.place)
    }
}

/// The lock on the directory, for as long as the store is open.
struct Exclusive {
    _file: File,
}

impl EmbeddedStorage {
    /// Opens the store in a directory, or makes it.
    pub fn open(config: &Config) -> Result<Self> {
        let directory = &config.path;
        let place = directory.display().to_string();
        let at = |what: &str, error: &dyn fmt::Display| {
            Error::unavailable(format!("cannot {what} the store in {place}: {error}; check its owner, mode and disk"))
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| at("make", &error))?;
        let exclusive = Exclusive::take(directory)?;
        let opened = Database::builder(directory.join("tree"))
            .cache_size(config.cache_bytes)
            .max_journaling_size(config.journal_bytes)
            .manual_journal_persist(true)
            .open();
        let database = opened.map_err(|error| at("open", &error))?;
        let keyspace = |name: &str| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(config.write_buffer_bytes / 2);
            database.keyspace(name, options).map_err(|error| at("open", &error))
        };
        let meta = keyspace("meta")?;
        let spaces = Space::ALL.iter().map(|space| keyspace(space.as_str())).collect::<Result<Vec<_>>>()?;
        let spaces = Spaces(spaces, meta.clone());
        let (sequence, noted) = SequenceFile::open(&directory.join("sequence")).map_err(|error| at("open", &error))?;
        let found = meta.get(SEQUENCE_KEY).map_err(|error| at("read", &error))?;
        let found = found.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, u64::from_le_bytes);
        if found < noted {
            return Err(Error::damaged(format!(
                "the store in {place} lost committed writes: its log ends at batch {found}, and {noted} were committed; \
                 do not use it, restore a backup or see `deltadb fsck`"
            ))
            .with_code("damaged_journal"));
        }
        let committer = Committer::start(database, spaces.clone(), meta, (sequence, found), config)?;
        let threads = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        let inline_reads = Semaphore::new(threads.saturating_sub(1));
        Ok(Self { spaces, committer, inline_reads, place, _exclusive: exclusive })
    }

    /// Runs a short read: here while some async thread stays free, else off the async threads.
    ///
    /// A read that memory answers takes a microsecond, and handing it to another thread ten times that; one that waits for
    /// the disk must not stop the others.
    async fn read_one<T: Send + 'static>(&self, read: impl FnOnce(&Spaces) -> Result<T> + Send + 'static) -> Result<T> {
        match self.inline_reads.try_acquire() {
            Ok(_permit) => read(&self.spaces),
            Err(_) => self.read(read).await,
        }
    }

    /// Runs a read off the async threads.
    async fn read<T: Send + 'static>(&self, read: impl FnOnce(&Spaces) -> Result<T> + Send + 'static) -> Result<T> {
        let spaces = self.spaces.clone();
        let done = tokio::task::spawn_blocking(move || read(&spaces)).await;
        done.unwrap_or_else(|error| Err(Error::unavailable("a read was cut short").with_source(error)))
    }
}

impl Exclusive {
    fn take(directory: &Path) -> Result<Self> {
        let path = directory.join("lock");
        let place = directory.display();
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.map_err(|error| {
            Error::unavailable(format!("cannot write in the directory {place}: {error}; check its owner and mode"))
        })?;
        file.try_lock().map_err(|_| {
            Error::unavailable(format!(
                "another process has the store in {place} open; stop it, or choose another --data-dir"
            ))
        })?;
        Ok(Self { _file: file })
    }
}

/// Where an object lies in its keyspace.
pub(crate) fn object_key(name: &ObjectName) -> Vec<u8> {
    [name.group.as_str().as_bytes(), b"/", name.name.as_bytes()].concat()
}

/// A write of which nobody knows whether it happened.
pub(crate) fn unknown(why: &str) -> Error {
    Error::outcome_unknown(format!("the disk failed while writing ({why}); read before repeating, after a restart"))
}

fn unreadable(error: &fjall::Error) -> Error {
    Error::unavailable(format!("the store cannot be read: {error}"))
}

#[async_trait]
impl Storage for EmbeddedStorage {
    fn capabilities(&self) -> Capabilities {
        Capabilities { shared: false, conditional_delete: true, atomic_batch: true, durable: true }
    }

    async fn get(&self, name: &ObjectName) -> Result<Option<Stored>> {
        let name = name.clone();
        let found = self.read_one(move |spaces| spaces.get(&name)).await?;
        Ok(found.map(|bytes| Stored { revision: Revision::of(&bytes), bytes: Bytes::from(bytes) }))
    }

    async fn head(&self, name: &ObjectName) -> Result<Option<StoredHead>> {
        let stored = self.get(name).await?;
        Ok(stored.map(|stored| StoredHead {
            size_bytes: stored.bytes.len() as u64,
            start: stored.bytes,
            revision: stored.revision,
        }))
    }

    async fn put(&self, name: &ObjectName, object: &Object, expect: &Expect) -> Result<Revision> {
        let write = Write { name: name.clone(), object: Some(object.clone()), expect: expect.clone() };
        let answer = self.committer.commit(vec![write]).await?.pop();
        let revision = answer.unwrap_or_else(|| Err(Error::internal("a write without an answer")))?;
        revision.ok_or_else(|| Error::internal("a write without a revision"))
    }

    async fn delete(&self, name: &ObjectName, expect: &Expect) -> Result<()> {
        let write = Write { name: name.clone(), object: None, expect: expect.clone() };
        let answer = self.committer.commit(vec![write]).await?.pop();
        answer.unwrap_or_else(|| Err(Error::internal("a write without an answer"))).map(drop)
    }

    async fn write_batch(&self, writes: Vec<Write>) -> Result<Vec<Result<Option<Revision>>>> {
        self.committer.commit(writes).await
    }

    fn list(&self, space: Space, group: &Group) -> BoxStream<'_, Result<Listed>> {
        let start = format!("{}/", group.as_str()).into_bytes();
        let chunks = stream::try_unfold(Some(start.clone()), move |from| {
            let prefix = start.clone();
            async move {
                let Some(from) = from else { return Ok::<_, Error>(None) };
                let (chunk, next) = self.read(move |spaces| chunk(spaces.keyspace(space), &prefix, &from)).await?;
                Ok(Some((stream::iter(chunk.into_iter().map(Ok)), next)))
            }
        });
        futures::TryStreamExt::try_flatten(chunks).boxed()
    }

    async fn groups(&self, space: Space) -> Result<Vec<Group>> {
        self.read(move |spaces| groups(spaces.keyspace(space))).await
    }

    async fn quarantine(&self, name: &ObjectName) -> Result<()> {
        Err(Error::invalid("unsupported", format!("{} cannot be set aside by this storage", name.name)))
    }

    async fn ready(&self) -> Result<()> {
        self.committer.ready()
    }

    async fn close(&self) -> Result<()> {
        self.committer.close();
        Ok(())
    }
}

/// Some names from `from` on, and where to go on.
fn chunk(keyspace: &Keyspace, prefix: &[u8], from: &[u8]) -> Result<(Vec<Listed>, Option<Vec<u8>>)> {
    let mut listed = Vec::new();
    for guard in keyspace.range(from.to_vec()..) {
        let (key, value) = guard.into_inner().map_err(|error| unreadable(&error))?;
        let Some(name) = key.strip_prefix(prefix) else { return Ok((listed, None)) };
        if listed.len() == LIST_CHUNK {
            return Ok((listed, Some(key.to_vec())));
        }
        let name = String::from_utf8_lossy(name).into_owned().into();
        listed.push(Listed { name, size_bytes: value.len() as u64 });
    }
    Ok((listed, None))
}

/// The groups, by seeking from each to the one after it.
fn groups(keyspace: &Keyspace) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    let mut from = Vec::new();
    while let Some(guard) = keyspace.range(from.clone()..).next() {
        let key = guard.key().map_err(|error| unreadable(&error))?;
        let group = key.split(|&byte| byte == b'/').next().unwrap_or_default();
        from = [group, &[b'/' + 1]].concat();
        groups.push(Group::new(&String::from_utf8_lossy(group)));
    }
    Ok(groups)
}
