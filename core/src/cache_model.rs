//! The cache against a model: any sequence of reads and writes, each in the steps that others can come between.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::conformance;
use crate::document::Document;

/// How many entities there are, and how many readers.
const ENTITIES: usize = 2;
const READERS: usize = 2;
const TTL_MICROS: u64 = 8;

/// One step of somebody.
#[derive(Debug, Clone)]
enum Step {
    /// A writer changes the storage.
    Store(usize),
    /// The same writer tells the cache, with a document of a size.
    Tell(usize, usize),
    /// The same writer does not know what became of its write.
    Forget(usize),
    /// A reader misses: it takes a ticket.
    Ticket(usize, usize),
    /// The reader reads the storage.
    Read(usize),
    /// The reader brings what it read.
    Redeem(usize),
    /// The reader gives up.
    Drop(usize),
    Get(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let entity = 0..ENTITIES;
    let reader = 0..READERS;
    prop_oneof![
        entity.clone().prop_map(Step::Store),
        (entity.clone(), 0..800_usize).prop_map(|(entity, bytes)| Step::Tell(entity, bytes)),
        entity.clone().prop_map(Step::Forget),
        (reader.clone(), entity.clone()).prop_map(|(reader, entity)| Step::Ticket(reader, entity)),
        reader.clone().prop_map(Step::Read),
        reader.clone().prop_map(Step::Redeem),
        reader.prop_map(Step::Drop),
        entity.prop_map(Step::Get),
        (1..TTL_MICROS).prop_map(Step::Wait),
    ]
}

/// What is true: the storage, and what a client was told.
struct Model<'a> {
    cache: &'a Cache,
    /// The version the storage has.
    stored: [u64; ENTITIES],
    /// The version that every read from now on must at least see.
    told: [u64; ENTITIES],
    readers: HashMap<usize, (Ticket<'a>, usize, Option<u64>)>,
    now: Timestamp,
    /// When each version was last put into the cache.
    filled: HashMap<(usize, u64), Timestamp>,
}

fn id(entity: usize) -> EntityId {
    conformance::id("db", &format!("k{entity}"))
}

fn cached(version: u64, bytes: usize) -> Cached {
    let meta = Arc::new(conformance::meta(version));
    let revision = Revision::new(version.to_le_bytes().to_vec());
    Cached { document: Document::trusted(vec![b'1'; bytes].into()), meta, revision, seen: Timestamp(0) }
}

impl Model<'_> {
    fn take(&mut self, step: Step) {
        match step {
            // One writer an entity at a time, as the engine's turns have it.
            Step::Store(entity) if self.stored[entity] == self.told[entity] => self.stored[entity] += 1,
            Step::Tell(entity, bytes) if self.stored[entity] > self.told[entity] => {
                let version = self.stored[entity];
                self.cache.insert(id(entity), cached(version, bytes), self.now);
                self.filled.insert((entity, version), self.now);
                self.told[entity] = version;
            }
            Step::Forget(entity) => {
                self.cache.remove(&id(entity));
                self.told[entity] = self.stored[entity];
            }
            Step::Ticket(reader, entity) => {
                let ticket = self.cache.ticket(&id(entity));
                self.readers.insert(reader, (ticket, entity, None));
            }
            Step::Read(reader) => {
                if let Some((_, entity, read)) = self.readers.get_mut(&reader) {
                    *read = Some(self.stored[*entity]);
                }
            }
            Step::Redeem(reader) => {
                if let Some((ticket, entity, Some(version))) = self.readers.remove(&reader)
                    && ticket.redeem(cached(version, 100), self.now)
                {
                    self.filled.insert((entity, version), self.now);
                }
            }
            Step::Drop(reader) => drop(self.readers.remove(&reader)),
            Step::Get(entity) => self.look(entity),
            Step::Wait(micros) => self.now = Timestamp(self.now.0 + micros),
            Step::Store(_) | Step::Tell(..) => {}
        }
    }

    /// What is held is never older than what a client was told.
    fn held(&self, entity: usize) {
        let Some(found) = self.cache.peek(&id(entity)) else { return };
        let version = found.meta.version;
        let allowed = self.told[entity]..=self.stored[entity];
        assert!(allowed.contains(&version), "version {version} is held where {allowed:?} is allowed");
    }

    fn look(&self, entity: usize) {
        self.held(entity);
        let Some(found) = self.cache.get(&id(entity), self.now) else { return };
        let version = found.meta.version;
        let filled = self.filled[&(entity, version)];
        assert!(self.now.0 < filled.0 + TTL_MICROS, "an entry outlives its time");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn no_sequence_serves_an_older_document_or_passes_a_bound(
        steps in prop::collection::vec(step(), 0..60),
        bytes_max in 400..2500_usize,
        entries_max in prop::option::of(1..4_usize),
    ) {
        let cache = Cache::new(CacheLimits { bytes_max, entries_max, ttl: Some(Duration::from_micros(TTL_MICROS)) });
        let mut model = Model {
            cache: &cache,
            stored: [1; ENTITIES],
            told: [1; ENTITIES],
            readers: HashMap::new(),
            now: Timestamp(0),
            filled: HashMap::new(),
        };
        for step in steps {
            model.take(step);
            (0..ENTITIES).for_each(|entity| model.held(entity));
            let stats = cache.stats();
            prop_assert!(stats.bytes <= bytes_max as u64, "{stats:?}");
            prop_assert!(stats.entries <= entries_max.unwrap_or(ENTITIES) as u64, "{stats:?}");
        }
        drop(model);
        prop_assert!(cache.shards.iter().all(|shard| shard.lock().unwrap().fills.is_empty()), "a ticket is left behind");
    }
}
