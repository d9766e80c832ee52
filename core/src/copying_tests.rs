//! A copy is whole or no store, however often it is cut short.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::*;
use crate::address::{NameMode, superblock_name};
use crate::builtin::memory::MemoryStorage;
use crate::conformance::{id, public, sealed};
use crate::generations;
use crate::keys::{MasterKey, Secret};
use crate::name::{KeyId, WriterId};
use crate::seal::Sealer;
use crate::storage::{Capabilities, Listed, Revision, Stored, StoredHead};
use crate::superblock::{self, Superblock};

/// A store of some entities and its key.
struct Source {
    storage: Arc<MemoryStorage>,
    sealer: Arc<Sealer>,
    masters: Vec<MasterKey>,
}

impl Source {
    async fn new(entities: u64) -> Self {
        let master = MasterKey { id: KeyId::parse("main-key-v1").unwrap(), key: Secret::new([7; 32]) };
        let superblock = Superblock::create(NameMode::Sealed, &master).unwrap();
        let storage = Arc::new(MemoryStorage::new());
        superblock.write(&*storage).await.unwrap();
        let names = Arc::new(superblock.open_names().unwrap());
        let sealer = Sealer::new(Arc::new(superblock.keyring), names, WriterId::parse("test").unwrap());
        let source = Self { storage, sealer: Arc::new(sealer), masters: vec![master] };
        for at in 0..entities {
            source.put(&format!("k{at}"), at + 1).await;
        }
        source
    }

    async fn put(&self, key: &str, version: u64) {
        let id = id("db", key);
        let object = sealed(&self.sealer, &id, version);
        self.storage.put(&self.sealer.names().entity(&id).object, &object, &Expect::Anything).await.unwrap();
    }

    async fn begin(&self, to: Arc<dyn Storage>) -> Result<Copy> {
        let check = Check::new(self.storage.clone(), self.sealer.clone());
        Copy::begin(self.sealer.keyring().store(), self.storage.clone(), check, to).await
    }

    /// Copies as far as it goes.
    async fn copy(&self, to: Arc<dyn Storage>) -> Result<Tally> {
        let mut copy = self.begin(to).await?;
        copy.objects(|_, _| {}).await?;
        let tally = copy.compare(|_| {}).await?;
        copy.finish(&generations::read(&*self.storage, &self.masters).await?).await?;
        Ok(tally)
    }
}

async fn everything(storage: &dyn Storage) -> Vec<(ObjectName, Bytes)> {
    let mut all = Vec::new();
    for space in Space::ALL {
        for group in storage.groups(space).await.unwrap() {
            let listed: Vec<_> = storage.list(space, &group).try_collect().await.unwrap();
            for listed in listed {
                let sealed = space != Space::Store;
                let name = ObjectName { space, group: group.clone(), name: listed.name, sealed };
                let bytes = storage.get(&name).await.unwrap().unwrap().bytes;
                all.push((name, bytes));
            }
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn a_copy_is_the_same_store_byte_for_byte() {
    let source = Source::new(700).await;
    let before = everything(&*source.storage).await;
    let to = Arc::new(MemoryStorage::new());
    let tally = source.copy(to.clone()).await.unwrap();
    assert_eq!(tally, Tally { opened: 700, written: 700, compared: 700, removed: 0, damaged: 0, misnamed: 0 });
    assert_eq!(everything(&*to).await, before);
    assert_eq!(everything(&*source.storage).await, before, "the source is not changed");
}

/// A storage whose n-th change fails, with everything after it.
#[derive(Debug)]
struct Failing(Arc<MemoryStorage>, AtomicUsize);

impl Failing {
    fn change(&self) -> Result<()> {
        let left = self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| Error::unavailable("the disk is full"))
    }
}

#[async_trait]
impl Storage for Failing {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    async fn get(&self, name: &ObjectName) -> Result<Option<Stored>> {
        self.0.get(name).await
    }
    async fn head(&self, name: &ObjectName) -> Result<Option<StoredHead>> {
        self.0.head(name).await
    }
    async fn put(&self, name: &ObjectName, object: &Object, expect: &Expect) -> Result<Revision> {
        self.change()?;
        self.0.put(name, object, expect).await
    }
    async fn delete(&self, name: &ObjectName, expect: &Expect) -> Result<()> {
        self.change()?;
        self.0.delete(name, expect).await
    }
    async fn write_batch(&self, writes: Vec<Write>) -> Result<Vec<Result<Option<Revision>>>> {
        self.change()?;
        self.0.write_batch(writes).await
    }
    fn list(&self, space: Space, group: &Group) -> BoxStream<'_, Result<Listed>> {
        self.0.list(space, group)
    }
    async fn groups(&self, space: Space) -> Result<Vec<Group>> {
        self.0.groups(space).await
    }
    async fn quarantine(&self, name: &ObjectName) -> Result<()> {
        self.0.quarantine(name).await
    }
    async fn ready(&self) -> Result<()> {
        self.0.ready().await
    }
    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

#[tokio::test]
async fn a_copy_that_was_cut_short_is_no_store_and_goes_on() {
    let source = Source::new(600).await;
    let whole = everything(&*source.storage).await;
    let mut finished = false;
    for changes in 1..20 {
        let to = Arc::new(MemoryStorage::new());
        let failing = Arc::new(Failing(to.clone(), AtomicUsize::new(changes)));
        match source.copy(failing).await {
            Ok(_) => finished = true,
            Err(error) => {
                assert_eq!(error.to_string(), "the disk is full");
                let found = superblock::read(&*to).await.unwrap_err();
                assert_eq!(found.code(), "unfinished_copy", "after {changes} changes");
                let there = everything(&*to).await.len() as u64 - 1;
                let tally = source.copy(to.clone()).await.unwrap();
                assert!(tally.written <= 600 - there.min(600) && tally.compared == 600, "{there}: {tally:?}");
            }
        }
        assert_eq!(everything(&*to).await, whole);
    }
    assert!(finished, "it is cut short at every change");
}

#[tokio::test]
async fn what_the_source_changed_in_between_is_changed_in_the_copy() {
    let source = Source::new(10).await;
    let to = Arc::new(MemoryStorage::new());
    source.begin(to.clone()).await.unwrap().objects(|_, _| {}).await.unwrap();
    source.put("k3", 99).await;
    source.put("new", 1).await;
    let gone = source.sealer.names().entity(&id("db", "k5")).object;
    source.storage.delete(&gone, &Expect::Anything).await.unwrap();
    let tally = source.copy(to.clone()).await.unwrap();
    assert_eq!(tally, Tally { opened: 10, written: 2, compared: 10, removed: 1, damaged: 0, misnamed: 0 });
    assert_eq!(everything(&*to).await, everything(&*source.storage).await);
}

#[tokio::test]
async fn a_destination_that_holds_something_else_is_refused_and_left_alone() {
    let (source, other) = (Source::new(2).await, Source::new(3).await);
    let refused = async |to: Arc<MemoryStorage>| {
        let before = everything(&*to).await;
        let error = source.begin(to.clone()).await.unwrap_err();
        assert_eq!(everything(&*to).await, before);
        assert_eq!(error.code(), "occupied");
        error.to_string().trim_end_matches("; nothing was changed, choose an empty one").to_owned()
    };
    assert_eq!(refused(other.storage.clone()).await, "the destination holds a store already");
    assert_eq!(refused(source.storage.clone()).await, "the destination holds a store already");
    let to = Arc::new(MemoryStorage::new());
    other.begin(to.clone()).await.unwrap().objects(|_, _| {}).await.unwrap();
    assert_eq!(refused(to).await, "the destination holds the unfinished copy of another store");
    let to = Arc::new(MemoryStorage::new());
    to.put(&crate::conformance::name(Space::Entities, "a", "b"), &public(vec![1]), &Expect::Anything).await.unwrap();
    assert_eq!(refused(to).await, "the destination holds objects that belong to no store");
}

#[tokio::test]
async fn damage_in_the_source_is_told_and_not_copied() {
    let source = Source::new(5).await;
    let name = source.sealer.names().entity(&id("db", "k2")).object;
    source.storage.put(&name, &public(vec![1; 200]), &Expect::Anything).await.unwrap();
    let to = Arc::new(MemoryStorage::new());
    let mut told = Vec::new();
    let mut copy = source.begin(to.clone()).await.unwrap();
    let tally = copy.objects(|_, damaged| told.extend(damaged.map(|(name, _)| name))).await.unwrap();
    assert_eq!((tally.opened, tally.damaged, told), (4, 1, vec![name.clone()]));
    assert!(to.get(&name).await.unwrap().is_none());
}

#[tokio::test]
async fn a_place_with_objects_and_no_superblock_is_not_a_new_store() {
    let source = Source::new(1).await;
    source.storage.delete(&superblock_name(1), &Expect::Anything).await.unwrap();
    let error = superblock::read(&*source.storage).await.unwrap_err();
    assert_eq!(error.code(), "damaged_superblock");
    assert!(error.to_string().contains("it is gone, and there is data in files"), "{error}");
}
