//! The cache's bounds, and the ticket under every interleaving.

use std::sync::Arc;

use super::*;
use crate::conformance;
use crate::document::Document;

fn cached(version: u64, body_bytes: usize) -> Cached {
    let meta = Arc::new(conformance::meta(version));
    let revision = Revision::new(version.to_le_bytes().to_vec());
    Cached { document: Document::trusted(vec![b'1'; body_bytes].into()), meta, revision, seen: Timestamp(0) }
}

fn version(cache: &Cache, id: &EntityId) -> Option<u64> {
    cache.get(id, Timestamp(0)).map(|cached| cached.meta.version)
}

fn id(key: &str) -> EntityId {
    conformance::id("db", key)
}

#[test]
fn the_least_recently_used_goes_first_when_bytes_run_out() {
    let cache = Cache::new(CacheLimits { bytes_max: 4 * (ENTRY_OVERHEAD_BYTES + 103), entries_max: None, ttl: None });
    for key in ["a", "b", "c", "d"] {
        cache.insert(id(key), cached(1, 100), Timestamp(0));
    }
    assert!(version(&cache, &id("a")).is_some());
    cache.insert(id("e"), cached(1, 100), Timestamp(0));
    assert_eq!(version(&cache, &id("b")), None);
    assert!(["a", "c", "d", "e"].iter().all(|key| version(&cache, &id(key)).is_some()));
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.evictions), (4, 1));
    assert_eq!(stats.bytes, 4 * (ENTRY_OVERHEAD_BYTES as u64 + 103));
}

#[test]
fn a_document_larger_than_the_cache_is_not_kept_and_drops_what_it_replaces() {
    let cache = Cache::new(CacheLimits { bytes_max: 1000, entries_max: None, ttl: None });
    cache.insert(id("a"), cached(1, 10), Timestamp(0));
    cache.insert(id("a"), cached(2, 5000), Timestamp(0));
    assert_eq!(version(&cache, &id("a")), None);
    assert_eq!(cache.stats().bytes, 0);
}

#[test]
fn entries_have_a_bound_of_their_own() {
    let cache = Cache::new(CacheLimits { entries_max: Some(3), ..CacheLimits::default() });
    for n in 0..10 {
        cache.insert(id(&n.to_string()), cached(1, 1), Timestamp(0));
    }
    assert_eq!(cache.stats().entries, 3);
}

#[test]
fn an_entry_ends_with_its_time_to_live() {
    let cache = Cache::new(CacheLimits { ttl: Some(Duration::from_micros(5)), ..CacheLimits::default() });
    cache.insert(id("a"), cached(1, 1), Timestamp(10));
    assert!(cache.get(&id("a"), Timestamp(14)).is_some());
    assert!(cache.get(&id("a"), Timestamp(15)).is_none());
    assert_eq!(cache.stats().entries, 0);
}

#[test]
fn a_write_voids_the_ticket_of_a_slow_read() {
    let cache = Cache::new(CacheLimits::default());
    let slow = cache.ticket(&id("a"));
    cache.insert(id("a"), cached(2, 1), Timestamp(0));
    assert!(!slow.redeem(cached(1, 1), Timestamp(0)));
    assert_eq!(version(&cache, &id("a")), Some(2));
    let slow = cache.ticket(&id("a"));
    cache.remove(&id("a"));
    assert!(!slow.redeem(cached(2, 1), Timestamp(0)));
    assert_eq!(version(&cache, &id("a")), None);
}

#[test]
fn tickets_leave_nothing_behind() {
    let cache = Cache::new(CacheLimits::default());
    let (first, second) = (cache.ticket(&id("a")), cache.ticket(&id("a")));
    drop(first);
    assert!(second.redeem(cached(1, 1), Timestamp(0)));
    assert!(cache.shards.iter().all(|shard| shard.lock().unwrap().fills.is_empty()));
}

/// A reader that misses, and a writer, over a storage where every step can be interleaved. Returns whether, after both,
/// the cache serves what the storage has.
fn reader_and_writer(fill: fn(&Cache, &EntityId, &dyn Fn() -> u64)) {
    let cache = Arc::new(Cache::new(CacheLimits::default()));
    let storage = Arc::new(shuttle::sync::Mutex::new(1_u64));
    let reader = shuttle::thread::spawn({
        let (cache, storage) = (cache.clone(), storage.clone());
        move || fill(&cache, &id("a"), &|| *storage.lock().unwrap())
    });
    let writer = shuttle::thread::spawn({
        let (cache, storage) = (cache.clone(), storage.clone());
        move || {
            *storage.lock().unwrap() = 2;
            shuttle::thread::yield_now();
            cache.insert(id("a"), cached(2, 1), Timestamp(0));
        }
    });
    reader.join().unwrap();
    writer.join().unwrap();
    assert_eq!(version(&cache, &id("a")), Some(2), "the cache serves an older document than the storage has");
}

fn fill_with_ticket(cache: &Cache, id: &EntityId, read: &dyn Fn() -> u64) {
    let ticket = cache.ticket(id);
    let found = read();
    shuttle::thread::yield_now();
    ticket.redeem(cached(found, 1), Timestamp(0));
}

fn fill_without_ticket(cache: &Cache, id: &EntityId, read: &dyn Fn() -> u64) {
    let found = read();
    shuttle::thread::yield_now();
    cache.insert(id.clone(), cached(found, 1), Timestamp(0));
}

#[test]
fn no_interleaving_puts_back_an_older_document() {
    shuttle::check_dfs(|| reader_and_writer(fill_with_ticket), None);
}

#[test]
#[should_panic(expected = "the cache serves an older document")]
fn without_the_ticket_some_interleaving_does() {
    shuttle::check_dfs(|| reader_and_writer(fill_without_ticket), None);
}
