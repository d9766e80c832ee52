//! Writes of one entity that are under way at the same time: whose answer comes last need not be who wrote last.
//!
//! It matters where one of them writes and another removes: what the listing makes of their answers may be wrong then.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use delta_core::name::{DatabaseName, EntityId};

use crate::grpc::api::delta::v1::Task;
use crate::grpc::api::delta::v1::task::Work;

/// The writes that are under way.
#[derive(Debug, Default)]
pub(crate) struct Overlaps(Mutex<HashMap<EntityId, Under>>);

/// Those of one entity, and what there was since the first of them began.
#[derive(Debug, Default)]
struct Under {
    now: usize,
    puts: bool,
    removals: bool,
}

impl Overlaps {
    /// Takes note of a write until that is dropped.
    pub(crate) fn begin(&self, database: &DatabaseName, task: &Task) -> Overlap<'_> {
        let ids: Vec<_> =
            keys(task).into_iter().filter_map(|key| Some(EntityId::new(database.clone(), key.parse().ok()?))).collect();
        let removes = matches!(task.work, Some(Work::Delete(_)));
        let mut all = self.all();
        for id in &ids {
            let under = all.entry(id.clone()).or_default();
            under.now += 1;
            under.puts |= !removes;
            under.removals |= removes;
        }
        Overlap { all: self, ids }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<EntityId, Under>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keys(task: &Task) -> Vec<&str> {
    match &task.work {
        Some(Work::Put(of) | Work::Merge(of) | Work::Operations(of)) => vec![&of.key],
        Some(Work::PutMany(of)) => of.documents.iter().map(|one| one.key.as_str()).collect(),
        Some(Work::Delete(key)) => vec![key],
        _ => Vec::new(),
    }
}

/// A write that is under way.
#[derive(Debug)]
pub(crate) struct Overlap<'a> {
    all: &'a Overlaps,
    ids: Vec<EntityId>,
}

impl Overlap<'_> {
    /// Whether an entity of it was also written where it removes, or removed where it writes.
    pub(crate) fn is_mixed(&self) -> bool {
        let all = self.all.all();
        self.ids.iter().filter_map(|id| all.get(id)).any(|under| under.puts && under.removals)
    }
}

impl Drop for Overlap<'_> {
    fn drop(&mut self) {
        let mut all = self.all.all();
        for id in &self.ids {
            if let Some(under) = all.get_mut(id) {
                under.now -= 1;
                if under.now == 0 {
                    all.remove(id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::api::delta::v1::{KeyedDocument, KeyedDocuments};

    fn put(key: &str) -> KeyedDocument {
        KeyedDocument { key: key.into(), ..KeyedDocument::default() }
    }

    #[test]
    fn a_write_and_a_removal_of_one_entity_at_the_same_time_are_told() {
        let (overlaps, database) = (Overlaps::default(), "db".parse().unwrap());
        let begin = |work| overlaps.begin(&database, &Task { work: Some(work), ..Task::default() });
        let first = begin(Work::Put(put("a")));
        let second = begin(Work::Merge(put("a")));
        assert!(!first.is_mixed() && !second.is_mixed(), "which of two writes is last, is the size's matter only");
        drop(second);
        let many = begin(Work::PutMany(KeyedDocuments { documents: vec![put("b"), put("c")] }));
        let removal = begin(Work::Delete("c".into()));
        assert!(many.is_mixed() && removal.is_mixed() && !first.is_mixed());
        drop(removal);
        assert!(many.is_mixed(), "it was under way when that began");
        drop(many);
        let again = begin(Work::Delete("c".into()));
        assert!(!again.is_mixed(), "one after the other");
        drop((first, again));
        assert!(overlaps.all().is_empty());
    }
}
