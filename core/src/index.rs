//! The keys of each database in order, in memory: what listings are answered from.
//!
//! Names at rest have no useful order, so the index is built from the storage's names when it is first asked for, kept
//! current by the writes of this process, and dropped after an unknown outcome. The surprise: it is kept by group, not
//! by database, because only opening every name of a group tells which databases share it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{TryStreamExt, future};
use lru::LruCache;

use crate::address::Names;
use crate::clock::{Clock, Timestamp};
use crate::entities::{ListQuery, ListedKey, PAGE_KEYS_MAX, Page};
use crate::error::{Error, Result};
use crate::name::{DatabaseName, EntityId, EntityKey};
use crate::seal;
use crate::storage::{Group, Listed, ObjectName, Space, Storage};

/// How old a listing may be on a storage that other processes write, where nothing else is configured.
pub const LIST_MAX_STALE: Duration = Duration::from_secs(1);
/// How much memory the index of all databases may take where nothing else is configured.
pub const KEY_INDEX_BYTES_MAX: usize = 256 << 20;
/// What one key costs beside its text.
const KEY_OVERHEAD_BYTES: usize = 64;
/// How many names are opened in one go while an index is built.
const NAMES_AT_ONCE: usize = 1024;
/// How many such chunks are opened at the same time.
const CHUNKS_AT_ONCE: usize = 4;
/// How many times a listing builds an index that writes of unknown outcome keep dropping.
const BUILDS_MAX: usize = 8;

/// The databases of one group, each with its keys and the sizes of their objects.
type Databases = BTreeMap<DatabaseName, BTreeMap<Box<str>, u64>>;

/// What an index may hold, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct IndexLimits {
    /// Memory for the keys of all databases, in bytes.
    pub bytes_max: usize,
    /// How old it may be where other processes write the storage too.
    pub max_stale: Duration,
}

/// The same while it is collected, in the order of the names at rest.
type Found = BTreeMap<DatabaseName, Vec<(Box<str>, u64)>>;

/// The index.
#[derive(Debug)]
pub struct KeyIndex {
    storage: Arc<dyn Storage>,
    names: Arc<Names>,
    clock: Arc<dyn Clock>,
    limits: IndexLimits,
    moments: AtomicU64,
    state: Mutex<State>,
    /// One build at a time: a second listing waits for the first instead of reading the same names.
    building: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    ready: LruCache<Group, Built>,
    bytes: usize,
    builds: u64,
    /// The group under construction, and the changes to it meanwhile; `None` when they cannot be known.
    building: HashMap<Group, Option<Vec<Change>>>,
}

/// The index of one group.
#[derive(Debug)]
struct Built {
    databases: Databases,
    /// When the storage's names began to be read: what other processes write since is missing.
    begun: Moment,
}

/// When something happened: its place among the questions and builds of an index, and the time.
#[derive(Debug, Clone, Copy)]
struct Moment {
    order: u64,
    time: Timestamp,
}

/// What an index holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexStats {
    /// Groups of databases whose keys are in memory.
    pub groups: u64,
    /// Keys of all of them.
    pub keys: u64,
    /// Bytes of all of them, as the limit counts them.
    pub bytes: u64,
    /// How many times a group was read from the storage.
    pub builds: u64,
}

/// One write: the size of the object that is there now, if any.
type Change = (EntityId, Option<u64>);

impl KeyIndex {
    /// An index over a store, empty until it is asked for.
    pub fn new(storage: Arc<dyn Storage>, names: Arc<Names>, clock: Arc<dyn Clock>, limits: IndexLimits) -> Self {
        let state = State { ready: LruCache::unbounded(), bytes: 0, builds: 0, building: HashMap::new() };
        let (moments, building) = (AtomicU64::new(0), tokio::sync::Mutex::new(()));
        Self { storage, names, clock, limits, moments, state: Mutex::new(state), building }
    }

    /// What it holds now.
    pub fn stats(&self) -> IndexStats {
        let state = self.state();
        let keys = state.ready.iter().flat_map(|(_, built)| built.databases.values()).map(BTreeMap::len).sum::<usize>();
        IndexStats {
            groups: state.ready.len() as u64,
            keys: keys as u64,
            bytes: state.bytes as u64,
            builds: state.builds,
        }
    }

    /// Takes note of a write that happened; `size` is `None` for a removal.
    pub fn record(&self, id: &EntityId, size_bytes: Option<u64>) {
        let mut state = self.state();
        if state.ready.is_empty() && state.building.is_empty() {
            return;
        }
        let group = self.names.group(&id.database);
        if let Some(changes) = state.building.get_mut(&group) {
            changes.iter_mut().for_each(|changes| changes.push((id.clone(), size_bytes)));
            return;
        }
        let Some(built) = state.ready.peek_mut(&group) else { return };
        let (added, removed) = apply(&mut built.databases, id, size_bytes);
        state.bytes = (state.bytes + added).saturating_sub(removed);
        state.evict(self.limits.bytes_max);
    }

    /// Forgets a database whose state is not known any more.
    pub fn forget(&self, database: &DatabaseName) {
        let group = self.names.group(database);
        let mut state = self.state();
        if let Some(changes) = state.building.get_mut(&group) {
            *changes = None;
        }
        state.remove(&group);
    }

    /// A page of the keys of a database.
    pub async fn list(&self, database: &DatabaseName, query: &ListQuery) -> Result<Page> {
        let group = self.names.group(database);
        let cursors = self.names.cursors();
        let after = query.cursor.as_ref().map(|cursor| cursors.open(database, &query.prefix, cursor)).transpose()?;
        let (items, more) = self
            .with(&group, |databases| match databases.get(database) {
                Some(keys) => page(keys, query, after.as_ref()),
                None => Ok((Vec::new(), false)),
            })
            .await??;
        let last = items.last().filter(|_| more);
        let next = last.map(|last| cursors.seal(database, &query.prefix, &last.key));
        Ok(Page { items, next })
    }

    /// Every database that holds entities, in order.
    pub async fn databases(&self) -> Result<Vec<DatabaseName>> {
        let mut found = Vec::new();
        for group in self.storage.groups(Space::Entities).await? {
            found.extend(self.with(&group, |databases| databases.keys().cloned().collect::<Vec<_>>()).await?);
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Answers from a group's index, building it first where needed.
    async fn with<T>(&self, group: &Group, answer: impl Fn(&Databases) -> T) -> Result<T> {
        let asked = self.moment();
        for _ in 0..BUILDS_MAX {
            if let Some(built) = self.state().ready.get(group).filter(|built| self.is_young(built, asked)) {
                return Ok(answer(&built.databases));
            }
            let _one = self.building.lock().await;
            let is_built = self.state().ready.peek(group).is_some_and(|built| self.is_young(built, asked));
            if !is_built {
                self.build(group).await?;
            }
        }
        Err(Error::unavailable("the listing changed too often while it was built; ask again"))
    }

    /// Whether a question that was asked then may be answered from an index: as long as it lasts where this process owns
    /// the store. However long it took to build, it answers whoever asked before.
    fn is_young(&self, built: &Built, asked: Moment) -> bool {
        let (begun, now) = (built.begun.time, asked.time);
        let is_young = begun <= now && now < begun.after(self.limits.max_stale);
        !self.storage.capabilities().shared || built.begun.order > asked.order || is_young
    }

    fn moment(&self) -> Moment {
        Moment { order: self.moments.fetch_add(1, Ordering::SeqCst), time: self.clock.now() }
    }

    /// Reads every name of a group and keeps its index, unless a write of unknown outcome came in between.
    async fn build(&self, group: &Group) -> Result<()> {
        let announced = Announced::new(self, group);
        let begun = self.moment();
        let mut found = Found::new();
        let living = self.storage.list(Space::Entities, group).try_filter(|listed| {
            let is_tombstone = listed.size_bytes % 8 == 4;
            future::ready(!is_tombstone)
        });
        let opened =
            living.try_chunks(NAMES_AT_ONCE).map_err(|stopped| stopped.1).map_ok(|names| self.open(group, names));
        let mut opened = opened.try_buffered(CHUNKS_AT_ONCE);
        while let Some(chunk) = opened.try_next().await? {
            for (id, size_bytes) in chunk {
                found.entry(id.database).or_default().push((id.key.as_str().into(), size_bytes));
            }
        }
        let mut databases = sorted(found).await?;
        let mut state = self.state();
        // The replay and the finished index are one step under the lock, so that no write falls between them.
        let Some(Some(changes)) = state.building.remove(group) else { return Ok(()) };
        for (id, size_bytes) in changes {
            apply(&mut databases, &id, size_bytes);
        }
        state.bytes += databases.values().flat_map(BTreeMap::keys).map(|key| cost(key)).sum::<usize>();
        state.ready.put(group.clone(), Built { databases, begun });
        state.builds += 1;
        state.evict(self.limits.bytes_max);
        drop(state);
        drop(announced);
        Ok(())
    }

    /// Opens names of a group on a thread of their own, since a million of them take seconds.
    async fn open(&self, group: &Group, listed: Vec<Listed>) -> Result<Vec<(EntityId, u64)>> {
        let (names, its) = (self.names.clone(), group.clone());
        let opening = tokio::task::spawn_blocking(move || {
            let open = |listed: Listed| (names.open_object_name(&its, &listed.name), listed);
            listed.into_iter().map(open).collect::<Vec<_>>()
        });
        let opened = opening.await.map_err(|error| Error::internal("a listing was cut short").with_source(error))?;
        let mut found = Vec::with_capacity(opened.len());
        for (result, listed) in opened {
            let result = match result {
                Ok(None) => self.entity_by_header(group, &listed.name).await?,
                opened => opened,
            };
            match result {
                Ok(id) => found.extend(id.map(|id| (id, listed.size_bytes))),
                // A file that is not ours, which a listing must not trip over.
                Err(error) => {
                    let name = &*listed.name;
                    tracing::warn!(name, %error, "an object among the entities has a name that is not ours; left out of the listing");
                }
            }
        }
        Ok(found)
    }

    /// Long names are hashes: the header has the name itself.
    async fn entity_by_header(&self, group: &Group, name: &str) -> Result<Result<Option<EntityId>>> {
        let object = ObjectName { space: Space::Entities, group: group.clone(), name: name.into(), sealed: true };
        let Some(head) = self.storage.head(&object).await? else { return Ok(Ok(None)) };
        Ok(seal::peek_name(&head.start).and_then(|sealed| self.names.open(sealed)).map(Some))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, group: &Group) {
        if let Some(built) = self.ready.pop(group) {
            let bytes = built.databases.values().flat_map(BTreeMap::keys).map(|key| cost(key)).sum();
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    /// Makes room; the group used last stays even if it is larger than the limit, or it could never be listed.
    fn evict(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max && self.ready.len() > 1 {
            let Some(group) = self.ready.peek_lru().map(|(group, _)| group.clone()) else { return };
            self.remove(&group);
        }
    }
}

/// While it lives, writes to a group under construction are noted.
struct Announced<'a> {
    index: &'a KeyIndex,
    group: Group,
}

impl<'a> Announced<'a> {
    /// What there was before goes, because it misses what is written from now on.
    fn new(index: &'a KeyIndex, group: &Group) -> Self {
        let mut state = index.state();
        state.remove(group);
        state.building.insert(group.clone(), Some(Vec::new()));
        drop(state);
        Self { index, group: group.clone() }
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.index.state().building.remove(&self.group);
    }
}

/// Sorts keys on a thread of its own. Maps that are made of all of their keys are made sooner than by insertions, and
/// their nodes are full. Each key is copied, because those that were collected lie scattered among what is free by now.
async fn sorted(found: Found) -> Result<Databases> {
    let compact = |(key, size_bytes): (Box<str>, u64)| (Box::from(&*key), size_bytes);
    let sorting = tokio::task::spawn_blocking(move || {
        found.into_iter().map(|(database, keys)| (database, keys.into_iter().map(compact).collect())).collect()
    });
    sorting.await.map_err(|error| Error::internal("a listing was cut short").with_source(error))
}

fn cost(key: &str) -> usize {
    key.len() + KEY_OVERHEAD_BYTES
}

/// Applies one write to a group, and answers the bytes that were added and removed.
fn apply(databases: &mut Databases, id: &EntityId, size_bytes: Option<u64>) -> (usize, usize) {
    let bytes = cost(id.key.as_str());
    match size_bytes {
        Some(size_bytes) => {
            let keys = databases.entry(id.database.clone()).or_default();
            match keys.insert(id.key.as_str().into(), size_bytes) {
                Some(_) => (0, 0),
                None => (bytes, 0),
            }
        }
        None => {
            let Some(keys) = databases.get_mut(&id.database) else { return (0, 0) };
            let removed = keys.remove(id.key.as_str()).is_some();
            if keys.is_empty() {
                databases.remove(&id.database);
            }
            (0, if removed { bytes } else { 0 })
        }
    }
}

/// The keys of one page, and whether there are more behind them.
fn page(
    keys: &BTreeMap<Box<str>, u64>,
    query: &ListQuery,
    after: Option<&EntityKey>,
) -> Result<(Vec<ListedKey>, bool)> {
    let prefix = query.prefix.as_str();
    let start = match after {
        Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
        _ => Bound::Included(prefix),
    };
    let limit = query.limit.clamp(1, PAGE_KEYS_MAX);
    let mut rest = keys.range::<str, _>((start, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
    let items = rest
        .by_ref()
        .take(limit)
        .map(|(key, size_bytes)| Ok(ListedKey { key: EntityKey::parse(key)?, size_bytes: *size_bytes, meta: None }))
        .collect::<Result<Vec<_>>>()?;
    Ok((items, rest.next().is_some()))
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
