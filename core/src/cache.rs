//! Opened documents in memory: least recently used first out, bounded by bytes and entries.
//!
//! Memory only remembers; the storage decides. The surprise is the ticket: whoever is about to read the storage takes
//! one first, and any write to that entity voids it, so that a slow read cannot put back an older document.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;

use crate::clock::Timestamp;
use crate::document::Document;
use crate::entities::Entity;
use crate::name::EntityId;
use crate::seal::Meta;
use crate::storage::Revision;

/// How many shards a large cache has, so that threads seldom wait for each other.
const SHARDS: usize = 16;
/// What an entry costs beside its document and key: tables, names and the version's data.
const ENTRY_OVERHEAD_BYTES: usize = 400;

/// How much a cache may hold.
#[derive(Debug, Clone, Copy)]
pub struct CacheLimits {
    /// Bytes of documents, keys and bookkeeping.
    pub bytes_max: usize,
    /// Entities; `None` leaves the bytes as the only bound.
    pub entries_max: Option<usize>,
    /// How long an entry may be served; `None` for as long as it fits.
    pub ttl: Option<Duration>,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { bytes_max: 256 << 20, entries_max: None, ttl: None }
    }
}

/// A cached entity and the state of the storage it stands for.
#[derive(Debug, Clone)]
pub struct Cached {
    /// The document, byte for byte as it was written.
    pub document: Document,
    /// What its header says.
    pub meta: Arc<Meta>,
    /// The revision that the storage had it under.
    pub revision: Revision,
    /// When the storage was asked and had it still: it may have another since.
    pub seen: Timestamp,
}

impl Cached {
    /// What a client gets of it.
    pub fn into_entity(self) -> Entity {
        Entity { document: self.document, etag: self.meta.etag(), updated: self.meta.updated }
    }
}

/// What a cache did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Reads that were served.
    pub hits: u64,
    /// Reads that were not.
    pub misses: u64,
    /// Entries that made room for others.
    pub evictions: u64,
    /// Entries held now.
    pub entries: u64,
    /// Bytes held now, as the limit counts them.
    pub bytes: u64,
}

/// The right to fill one entry with what is about to be read.
///
/// Dropping it gives it back, so that a read that was cut short leaves nothing behind.
#[must_use = "a ticket is redeemed with the document that was read"]
#[derive(Debug)]
pub struct Ticket<'a> {
    cache: &'a Cache,
    id: EntityId,
    number: u64,
}

impl Ticket<'_> {
    /// Keeps what was read unless a write came in between; says whether it did.
    pub fn redeem(self, read: Cached, now: Timestamp) -> bool {
        let mut shard = self.cache.shard(&self.id);
        let valid = shard.fills.get(&self.id).is_some_and(|(number, _)| *number == self.number);
        if valid {
            shard.insert(self.id.clone(), read, self.cache.expires(now));
        }
        valid
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut shard = self.cache.shard(&self.id);
        let Some((number, holders)) = shard.fills.get_mut(&self.id) else { return };
        if *number == self.number {
            *holders -= 1;
            if *holders == 0 {
                shard.fills.remove(&self.id);
            }
        }
    }
}

/// The cache.
pub struct Cache {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    limits: CacheLimits,
    tickets: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

struct Shard {
    entries: LruCache<EntityId, Entry>,
    bytes: usize,
    bytes_max: usize,
    entries_max: usize,
    evictions: u64,
    /// The reads under way: the ticket they share, and how many hold it.
    fills: HashMap<EntityId, (u64, usize)>,
}

struct Entry {
    cached: Cached,
    bytes: usize,
    expires: Option<Timestamp>,
}

impl Cache {
    /// An empty cache.
    pub fn new(limits: CacheLimits) -> Self {
        let shards = match limits.entries_max {
            Some(entries) => (entries / 64).clamp(1, SHARDS),
            None => (limits.bytes_max >> 20).clamp(1, SHARDS),
        };
        let shard = || Shard {
            entries: LruCache::unbounded(),
            bytes: 0,
            bytes_max: limits.bytes_max / shards,
            entries_max: limits.entries_max.map_or(usize::MAX, |entries| entries.div_ceil(shards)),
            evictions: 0,
            fills: HashMap::new(),
        };
        Self {
            shards: (0..shards).map(|_| Mutex::new(shard())).collect(),
            hasher: RandomState::new(),
            limits,
            tickets: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The entity as it was last written or read by this process, if it is still held.
    pub fn get(&self, id: &EntityId, now: Timestamp) -> Option<Cached> {
        let found = self.shard(id).get(id, now);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Like [`Cache::get`], for a write that wants to know the state before it: no hit, and no use.
    pub fn peek(&self, id: &EntityId) -> Option<Cached> {
        self.shard(id).entries.peek(id).map(|entry| entry.cached.clone())
    }

    /// Takes note that the storage, asked at `seen`, still had this revision.
    pub fn saw(&self, id: &EntityId, revision: &Revision, seen: Timestamp) {
        if let Some(entry) = self.shard(id).entries.peek_mut(id)
            && entry.cached.revision == *revision
        {
            entry.cached.seen = entry.cached.seen.max(seen);
        }
    }

    /// Announces a read of the storage.
    pub fn ticket(&self, id: &EntityId) -> Ticket<'_> {
        let mut shard = self.shard(id);
        let fresh = || (self.tickets.fetch_add(1, Ordering::Relaxed), 0);
        let (number, holders) = shard.fills.entry(id.clone()).or_insert_with(fresh);
        *holders += 1;
        Ticket { cache: self, id: id.clone(), number: *number }
    }

    /// Keeps what a write has just stored, and voids every ticket for it.
    pub fn insert(&self, id: EntityId, cached: Cached, now: Timestamp) {
        let mut shard = self.shard(&id);
        shard.fills.remove(&id);
        shard.insert(id, cached, self.expires(now));
    }

    /// Forgets an entity after a delete, a conflict or an unknown outcome, and voids every ticket for it.
    pub fn remove(&self, id: &EntityId) {
        let mut shard = self.shard(id);
        shard.fills.remove(id);
        shard.remove(id);
    }

    /// What the cache did so far.
    pub fn stats(&self) -> CacheStats {
        let mut stats = CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            ..CacheStats::default()
        };
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            stats.evictions += shard.evictions;
            stats.entries += shard.entries.len() as u64;
            stats.bytes += shard.bytes as u64;
        }
        stats
    }

    fn expires(&self, now: Timestamp) -> Option<Timestamp> {
        self.limits.ttl.map(|ttl| now.after(ttl))
    }

    fn shard(&self, id: &EntityId) -> MutexGuard<'_, Shard> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let at = self.hasher.hash_one(id) as usize % self.shards.len();
        #[expect(clippy::indexing_slicing, reason = "the remainder of a division by the length")]
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn get(&mut self, id: &EntityId, now: Timestamp) -> Option<Cached> {
        let entry = self.entries.get(id)?;
        if entry.expires.is_some_and(|expires| expires <= now) {
            self.remove(id);
            return None;
        }
        Some(entry.cached.clone())
    }

    fn insert(&mut self, id: EntityId, cached: Cached, expires: Option<Timestamp>) {
        let texts = id.key.as_str().len() + id.database.as_str().len();
        let bytes = cached.document.bytes().len() + texts + ENTRY_OVERHEAD_BYTES;
        self.remove(&id);
        if bytes > self.bytes_max {
            return;
        }
        self.bytes += bytes;
        self.entries.put(id, Entry { cached, bytes, expires });
        while self.bytes > self.bytes_max || self.entries.len() > self.entries_max {
            let Some((_, evicted)) = self.entries.pop_lru() else { break };
            self.bytes -= evicted.bytes;
            self.evictions += 1;
        }
    }

    fn remove(&mut self, id: &EntityId) {
        if let Some(entry) = self.entries.pop(id) {
            self.bytes -= entry.bytes;
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache({:?}, {:?})", self.limits, self.stats())
    }
}

#[cfg(test)]
#[path = "cache_model.rs"]
mod model;
#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
