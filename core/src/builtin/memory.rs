//! The reference storage: everything in memory, one lock, nothing kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::plugin::{Open, Plugin, Settings};
use crate::storage::{
    Capabilities, Expect, Group, Listed, Object, ObjectName, Revision, Space, Storage, Stored, StoredHead, Write,
};

/// How the registry knows it.
pub static PLUGIN: Plugin =
    Plugin { name: "memory", about: "Everything in memory, for tests: nothing survives", open: Open::Storage(open) };

inventory::submit! { PLUGIN }

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {}

fn open(settings: Settings) -> futures::future::BoxFuture<'static, Result<Arc<dyn Storage>>> {
    Box::pin(async move {
        settings.parse::<Config>("memory")?;
        Ok(Arc::new(MemoryStorage::new()) as Arc<dyn Storage>)
    })
}

/// What a storage in memory can do.
const CAPABILITIES: Capabilities = Capabilities {
    shared: false,
    conditional_delete: true,
    atomic_batch: true,
    durable: false,
    hand_made_schemas: false,
};

/// Objects in an ordered map.
#[derive(Debug)]
pub struct MemoryStorage {
    state: Mutex<State>,
    capabilities: Capabilities,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<ObjectName, Stored>,
    quarantined: Vec<(ObjectName, Stored)>,
    closed: bool,
}

impl MemoryStorage {
    /// An empty storage.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// An empty storage that says it can do other things, so that tests see what that makes of its users.
    pub fn with(change: impl FnOnce(&mut Capabilities)) -> Self {
        let mut capabilities = CAPABILITIES;
        change(&mut capabilities);
        Self { state: Mutex::default(), capabilities }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn open(&mut self) -> Result<&mut Self> {
        if self.closed { Err(Error::unavailable("the storage is closed")) } else { Ok(self) }
    }

    fn expected(&self, name: &ObjectName, expect: &Expect) -> Result<()> {
        match expect.holds(self.objects.get(name).map(|stored| &stored.revision)) {
            true => Ok(()),
            false => Err(Error::conflict("the object is not in the expected state")),
        }
    }

    fn apply(&mut self, name: &ObjectName, object: Option<&Object>) -> Option<Revision> {
        match object {
            Some(object) => {
                let stored = Stored { bytes: object.bytes().clone(), revision: object.revision() };
                let revision = stored.revision.clone();
                self.objects.insert(name.clone(), stored);
                Some(revision)
            }
            None => {
                self.objects.remove(name);
                None
            }
        }
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn get(&self, name: &ObjectName) -> Result<Option<Stored>> {
        Ok(self.state().objects.get(name).cloned())
    }

    async fn head(&self, name: &ObjectName) -> Result<Option<StoredHead>> {
        Ok(self.state().objects.get(name).map(|stored| StoredHead {
            start: stored.bytes.clone(),
            size_bytes: stored.bytes.len() as u64,
            revision: stored.revision.clone(),
        }))
    }

    async fn put(&self, name: &ObjectName, object: &Object, expect: &Expect) -> Result<Revision> {
        let mut state = self.state();
        let state = state.open()?;
        state.expected(name, expect)?;
        state.apply(name, Some(object));
        Ok(object.revision())
    }

    async fn delete(&self, name: &ObjectName, expect: &Expect) -> Result<()> {
        let mut state = self.state();
        let state = state.open()?;
        state.expected(name, expect)?;
        state.apply(name, None);
        Ok(())
    }

    async fn write_batch(&self, writes: Vec<Write>) -> Result<Vec<Result<Option<Revision>>>> {
        let mut state = self.state();
        let state = state.open()?;
        let before = state.objects.clone();
        let mut answers = Vec::with_capacity(writes.len());
        for write in &writes {
            let checked = state.expected(&write.name, &write.expect);
            answers.push(checked.map(|()| state.apply(&write.name, write.object.as_ref())));
        }
        if answers.iter().all(Result::is_ok) {
            return Ok(answers);
        }
        state.objects = before;
        let others = || Error::conflict("another write of the batch failed").with_code("batch_not_applied");
        Ok(answers.into_iter().map(|answer| Err(answer.err().unwrap_or_else(others))).collect())
    }

    fn list(&self, space: Space, group: &Group) -> BoxStream<'_, Result<Listed>> {
        let state = self.state();
        let wanted = state.objects.iter().filter(|(name, _)| name.space == space && name.group == *group);
        let listed =
            wanted.map(|(name, stored)| Ok(Listed { name: name.name.clone(), size_bytes: stored.bytes.len() as u64 }));
        stream::iter(listed.collect::<Vec<_>>()).boxed()
    }

    async fn groups(&self, space: Space) -> Result<Vec<Group>> {
        let state = self.state();
        let mut groups: Vec<_> =
            state.objects.keys().filter(|name| name.space == space).map(|name| name.group.clone()).collect();
        groups.sort_unstable();
        groups.dedup();
        Ok(groups)
    }

    async fn quarantine(&self, name: &ObjectName) -> Result<()> {
        let mut state = self.state();
        let state = state.open()?;
        let moved = state.objects.remove(name);
        state.quarantined.extend(moved.map(|stored| (name.clone(), stored)));
        Ok(())
    }

    async fn ready(&self) -> Result<()> {
        self.state().open().map(drop)
    }

    async fn close(&self) -> Result<()> {
        self.state().closed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::storage::Fixture;

    struct Memory;

    impl Fixture for Memory {
        async fn new() -> Self {
            Self
        }

        async fn open(&self) -> Arc<dyn Storage> {
            Arc::new(MemoryStorage::new())
        }
    }

    crate::conformance::storage!(Memory);
}
