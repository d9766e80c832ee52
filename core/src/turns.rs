//! Writers of one entity in one process take turns, so that they meet at the storage only with other processes.
//!
//! Entities share a fixed number of turns by hash. Nothing is decided here: without turns writes would still be correct,
//! only repeated more often.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::name::EntityId;

/// Enough that two of a thousand concurrent writers seldom share one by chance.
const TURNS: usize = 4096;

/// The turns of one engine.
#[derive(Debug)]
pub(crate) struct Turns {
    turns: Vec<Arc<Mutex<()>>>,
    hasher: RandomState,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { turns: (0..TURNS).map(|_| Arc::default()).collect(), hasher: RandomState::new() }
    }

    /// Waits for the turn of one entity.
    pub(crate) async fn take(&self, id: &EntityId) -> Option<OwnedMutexGuard<()>> {
        Some(self.turns.get(self.slot(id))?.clone().lock_owned().await)
    }

    /// Waits for the turns of many entities, in one order for everybody, so that two batches never wait for each other.
    pub(crate) async fn take_all(&self, ids: impl Iterator<Item = &EntityId>) -> Vec<OwnedMutexGuard<()>> {
        let slots: BTreeSet<_> = ids.map(|id| self.slot(id)).collect();
        let mut guards = Vec::with_capacity(slots.len());
        for slot in slots.iter().filter_map(|slot| self.turns.get(*slot)) {
            guards.push(slot.clone().lock_owned().await);
        }
        guards
    }

    /// Waits until every turn that is taken now has been given back.
    pub(crate) async fn pass(&self) {
        for turn in &self.turns {
            drop(turn.lock().await);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
    fn slot(&self, id: &EntityId) -> usize {
        self.hasher.hash_one(id) as usize % TURNS
    }
}
