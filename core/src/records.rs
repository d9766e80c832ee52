//! Records of the product's own: small values, sealed like entities, one object each in a space of their own.
//!
//! API keys, ended sessions and database settings are records. Every change is a compare-and-swap at the storage, so two
//! processes never overwrite each other's. Nothing is remembered here: whoever keeps records in memory decides how long.

use std::sync::Arc;

use futures::TryStreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::{Clock, Timestamp};
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::name::{DatabaseName, EntityId, EntityKey};
use crate::seal::{self, Meta, Sealer, WriteId};
use crate::storage::{Expect, Group, Object, ObjectName, Revision, Space, Storage};

/// How often a change is tried while other processes change the same record.
const ATTEMPTS_MAX: usize = 16;
/// How many records are read from the storage at the same time.
const READS_AT_ONCE: usize = 32;

/// The records of one space.
#[derive(Debug, Clone)]
pub struct Records {
    storage: Arc<dyn Storage>,
    sealer: Arc<Sealer>,
    clock: Arc<dyn Clock>,
    space: Space,
}

/// What is stored under a record's name now.
struct Current {
    meta: Meta,
    revision: Revision,
    document: Option<Document>,
}

impl Records {
    /// The records of a space, `Auth` or `Databases`.
    pub fn new(storage: Arc<dyn Storage>, sealer: Arc<Sealer>, clock: Arc<dyn Clock>, space: Space) -> Self {
        Self { storage, sealer, clock, space }
    }

    /// Whether other processes may change these records, so that what was read grows old.
    pub fn shared(&self) -> bool {
        self.storage.capabilities().shared
    }

    /// A record, or `None`.
    pub async fn get<T: DeserializeOwned>(&self, key: &EntityKey) -> Result<Option<T>> {
        let document = self.current(key).await?.and_then(|current| current.document);
        document.as_ref().map(value).transpose()
    }

    /// The key of every record, in no order, without reading one. What lies there under a name that is not ours is left out.
    pub async fn keys(&self) -> Result<Vec<EntityKey>> {
        let group = Group::none();
        let mut listing = self.storage.list(self.space, &group);
        let mut keys = Vec::new();
        while let Some(listed) = listing.try_next().await? {
            match self.named(&listed.name).await {
                Ok(id) => keys.extend(id.map(|id| id.key)),
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    tracing::warn!(name = %listed.name, %error, "an object among the records has a name that is not ours");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(keys)
    }

    /// The record that an object's name stands for, by its header where the name is too long.
    async fn named(&self, name: &str) -> Result<Option<EntityId>> {
        let names = self.sealer.names();
        if let Some(id) = names.open_internal_name(name)? {
            return Ok(Some(id));
        }
        let name = ObjectName { space: self.space, group: Group::none(), name: name.into(), sealed: true };
        let head = self.storage.head(&name).await?;
        head.map(|head| names.open(seal::peek_name(&head.start)?)).transpose()
    }

    /// Every record with its key, in no order.
    pub async fn all<T: DeserializeOwned>(&self) -> Result<Vec<(EntityKey, T)>> {
        let group = Group::none();
        let listing = self.storage.list(self.space, &group);
        let read = listing.map_ok(async |listed| {
            let name = ObjectName { space: self.space, group: Group::none(), name: listed.name, sealed: true };
            let Some(stored) = self.storage.get(&name).await? else { return Ok(None) };
            let (id, opened) = self.sealer.open_anywhere(&stored.bytes)?;
            if id.database != DatabaseName::reserved(self.space.as_str()) {
                return Err(Error::damaged("a record lies where another kind belongs").with_code("misplaced"));
            }
            opened.document.map(|document| Ok((id.key, value(&document)?))).transpose()
        });
        let found: Vec<Option<_>> = read.try_buffer_unordered(READS_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Makes of a record what `change` says, which sees what is there and answers what shall be: `None` is no record. It is
    /// asked again if somebody else was faster. `Ok` means that a crash cannot lose the change.
    pub async fn update<T: Serialize + DeserializeOwned>(
        &self,
        key: &EntityKey,
        mut change: impl FnMut(Option<T>) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        for _ in 0..ATTEMPTS_MAX {
            let current = self.current(key).await?;
            let before = current.as_ref().and_then(|current| current.document.as_ref());
            let existed = before.is_some();
            let after = change(before.map(value).transpose()?)?;
            if after.is_none() && !existed {
                return Ok(None);
            }
            match self.write(key, current, after.as_ref()).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                written => return written.map(|()| after),
            }
        }
        Err(Error::conflict(format!("a record changed {ATTEMPTS_MAX} times meanwhile; try again")))
    }

    async fn current(&self, key: &EntityKey) -> Result<Option<Current>> {
        let (id, address) = self.sealer.names().internal(self.space, key);
        let Some(stored) = self.storage.get(&address.object).await? else { return Ok(None) };
        let opened = self.sealer.open(&id, &address, &stored.bytes)?;
        Ok(Some(Current { meta: opened.meta, revision: stored.revision, document: opened.document }))
    }

    async fn write(&self, key: &EntityKey, current: Option<Current>, after: Option<&impl Serialize>) -> Result<()> {
        let (id, address) = self.sealer.names().internal(self.space, key);
        let before = current.as_ref().map(|current| &current.meta);
        let now = self.clock.now();
        let updated = before.map_or(now, |before| now.max(Timestamp(before.updated.0 + 1)));
        let meta = Meta {
            version: before.map_or(0, |before| before.version) + 1,
            created: before.filter(|before| !before.tombstone).map_or(updated, |before| before.created),
            updated,
            expires: None,
            schema: None,
            write_id: WriteId::random()?,
            tombstone: after.is_none(),
        };
        let expect = current.as_ref().map_or(Expect::Absent, |current| Expect::Revision(current.revision.clone()));
        if after.is_none() && self.storage.capabilities().conditional_delete {
            return self.storage.delete(&address.object, &expect).await;
        }
        let document = after.map_or_else(|| Ok(Document::empty()), to_document)?;
        let object = Object::Sealed(self.sealer.seal(&id, &address, &document, &meta)?);
        self.storage.put(&address.object, &object, &expect).await.map(drop)
    }
}

fn to_document(value: &impl Serialize) -> Result<Document> {
    let text = serde_json::to_vec(value).map_err(|error| Error::internal("a record is no JSON").with_source(error))?;
    Ok(Document::trusted(text.into()))
}

fn value<T: DeserializeOwned>(document: &Document) -> Result<T> {
    // The error would quote the record, which may be secret.
    serde_json::from_slice(document.bytes())
        .map_err(|_| Error::damaged("a record is not one that this version reads").with_code("unknown_record"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::memory::MemoryStorage;
    use crate::clock::SystemClock;
    use crate::conformance;

    fn records() -> Records {
        let storage = Arc::new(MemoryStorage::new());
        Records::new(storage, conformance::sealer(), Arc::new(SystemClock), Space::Auth)
    }

    fn key(text: &str) -> EntityKey {
        EntityKey::parse(text).unwrap()
    }

    #[tokio::test]
    async fn a_record_is_what_its_last_change_made_of_it() {
        let records = records();
        assert_eq!(records.get::<u32>(&key("a")).await.unwrap(), None);
        assert_eq!(records.update(&key("a"), |before: Option<u32>| Ok(before.or(Some(1)))).await.unwrap(), Some(1));
        let raise = |before: Option<u32>| Ok(before.map(|before| before + 1));
        assert_eq!(records.update(&key("a"), raise).await.unwrap(), Some(2));
        assert_eq!(records.update(&key("none"), raise).await.unwrap(), None);
        records.update(&key("b"), |_| Ok(Some(7_u32))).await.unwrap();
        let mut all = records.all::<u32>().await.unwrap();
        all.sort();
        assert_eq!(all, [(key("a"), 2), (key("b"), 7)]);
        let long = key(&"k".repeat(300));
        records.update(&long, |_| Ok(Some(9_u32))).await.unwrap();
        let mut keys = records.keys().await.unwrap();
        keys.sort();
        assert_eq!(keys, [key("a"), key("b"), long]);
        assert_eq!(records.update(&key("a"), |_: Option<u32>| Ok(None)).await.unwrap(), None);
        assert_eq!(records.get::<u32>(&key("a")).await.unwrap(), None);
        assert_eq!(records.update(&key("a"), |before| Ok(Some(before.unwrap_or(40_u32) + 2))).await.unwrap(), Some(42));
        assert_eq!(records.get::<u32>(&key("a")).await.unwrap(), Some(42));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_change_overwrites_another() {
        let records = records();
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let records = records.clone();
                tokio::spawn(async move {
                    for _ in 0..25 {
                        let raise = |before: Option<u32>| Ok(Some(before.unwrap_or(0) + 1));
                        while records.update(&key("n"), raise).await.is_err() {}
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(records.get::<u32>(&key("n")).await.unwrap(), Some(100));
    }

    #[tokio::test]
    async fn a_record_of_another_kind_is_damage_that_is_not_quoted() {
        let records = records();
        records.update(&key("a"), |_| Ok(Some("secret-text".to_owned()))).await.unwrap();
        let error = records.get::<u32>(&key("a")).await.unwrap_err();
        assert_eq!(error.code(), "unknown_record");
        assert!(!format!("{error:?}").contains("secret-text"));
    }
}
