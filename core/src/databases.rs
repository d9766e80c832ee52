//! Databases as a whole: their settings, and their end.
//!
//! A database exists while it holds entities or settings. The surprise is the drop: it is first a mark, which every
//! operation respects from then on, and the entities are removed behind it; a drop that was cut short goes on at the next
//! start.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use serde::{Deserialize, Serialize};

use crate::auth::{Permission, Principal};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::name::{DatabaseName, EntityKey, SchemaId};
use crate::records::Records;
use crate::schemas::Schemas;
use crate::seal::WriteId;

/// How many databases' settings are remembered.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// How old remembered settings may be where other processes may change them.
pub const SETTINGS_AGE_MAX: Duration = Duration::from_secs(1);

/// The code of an error about a database that is being dropped.
pub(crate) const DROPPING: &str = "dropping";

/// What an administrator sets for a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The schema that every document must match; where there is none, the one called like the database if it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_id: Option<SchemaId>,
    /// Whether a document to which no schema applies is refused.
    #[serde(default)]
    pub require_schema: bool,
}

/// What is stored about a database.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) settings: Settings,
    #[serde(default)]
    dropping: bool,
    /// Which drop that is, so that whoever ends one does not end the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drop_id: Option<String>,
}

/// One drop of a database: its name may be used and dropped again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DropId(Option<String>);

/// How far a drop is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DropProgress {
    /// Entities removed since the process started on it.
    pub removed: u64,
    /// What stopped it last, if anything did; it is tried again.
    pub trouble: Option<String>,
}

/// A database as administrators see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    /// Its settings.
    pub settings: Settings,
    /// Whether it is being dropped, and how far that is.
    pub dropping: Option<DropProgress>,
}

#[derive(Debug, Clone)]
struct Known {
    record: Option<Arc<Record>>,
    read: Timestamp,
}

/// The databases of a store.
#[derive(Debug)]
pub struct Databases {
    records: Records,
    schemas: Arc<Schemas>,
    clock: Arc<dyn Clock>,
    known: Mutex<LruCache<DatabaseName, Known>>,
    drops: Mutex<HashMap<DatabaseName, DropProgress>>,
    drops_finished: AtomicU64,
    /// Changes, and reads that are remembered, take turns: what is read never replaces what a change made.
    turn: tokio::sync::Mutex<()>,
    /// Whether a main has looked at the settings before this process is asked.
    ruled: bool,
}

impl Databases {
    /// The databases whose records these are.
    pub fn new(records: Records, schemas: Arc<Schemas>, clock: Arc<dyn Clock>) -> Self {
        let known = Mutex::new(LruCache::new(KNOWN_MAX));
        Self {
            records,
            schemas,
            clock,
            known,
            drops: Mutex::default(),
            drops_finished: AtomicU64::default(),
            turn: tokio::sync::Mutex::default(),
            ruled: false,
        }
    }

    /// The same in a process that does only what a main has decided: every database is usable.
    #[must_use]
    pub(crate) fn ruled(mut self) -> Self {
        self.ruled = true;
        self
    }

    /// The settings that count for an operation on a database, or `Conflict` under the code `dropping`.
    pub(crate) async fn usable(&self, database: &DatabaseName) -> Result<Option<Arc<Record>>> {
        if self.ruled {
            return Ok(None);
        }
        let record = self.record(database).await?;
        if record.as_ref().is_some_and(|record| record.dropping) { Err(dropping(database)) } else { Ok(record) }
    }

    /// A database that has settings or is being dropped. Needs read.
    pub async fn get(&self, who: &Principal, database: &DatabaseName) -> Result<Option<Described>> {
        who.require(Permission::Read, database)?;
        let Some(record) = self.record(database).await? else { return Ok(None) };
        let progress = || self.drops().get(database).cloned().unwrap_or_default();
        Ok(Some(Described { settings: record.settings.clone(), dropping: record.dropping.then(progress) }))
    }

    /// Sets what holds for a database from now on; what is stored already is not looked at. A schema that does not exist is
    /// refused. Needs admin.
    pub async fn set(&self, who: &Principal, database: &DatabaseName, settings: Settings) -> Result<()> {
        who.require(Permission::Admin, database)?;
        // Whoever deletes a schema takes the same turn, so it cannot go before the record is written.
        let turn = self.turn.lock().await;
        if let Some(schema) = &settings.schema_id {
            self.schemas.named(schema).await?;
        }
        let change = |before: Option<Record>| match before {
            Some(before) if before.dropping => Err(dropping(database)),
            _ => Ok(Some(Record { settings: settings.clone(), ..Record::default() })),
        };
        self.change(database, &turn, change).await
    }

    /// Removes a schema; one that a database is bound to is `Conflict`. Needs the right to write schemas.
    pub async fn delete_schema(&self, who: &Principal, id: &SchemaId) -> Result<()> {
        who.require_schema_write()?;
        let _turn = self.turn.lock().await;
        let all = self.records.all::<Record>().await?;
        let bound = all.iter().find(|(_, record)| record.settings.schema_id.as_ref() == Some(id) && !record.dropping);
        if let Some((database, _)) = bound {
            let database = database.as_str().replace(':', ".");
            let message = format!("database {database} is bound to schema {id}; change its settings first");
            return Err(Error::conflict(message).with_code("schema_in_use"));
        }
        self.schemas.delete(who, id).await
    }

    /// Marks a database as one to be dropped; from now on nobody can use it.
    pub(crate) async fn mark(&self, database: &DatabaseName) -> Result<()> {
        let turn = self.turn.lock().await;
        let id = Some(data_encoding::HEXLOWER.encode(&WriteId::random()?.0));
        let mark = |before: Option<Record>| match before.unwrap_or_default() {
            marked if marked.dropping => Ok(Some(marked)),
            before => Ok(Some(Record { dropping: true, drop_id: id.clone(), ..before })),
        };
        self.change(database, &turn, mark).await
    }

    /// The drop that a database is marked for now, as the storage has it.
    pub(crate) async fn marked_for(&self, database: &DatabaseName) -> Result<Option<DropId>> {
        let record: Option<Record> = self.records.get(&key(database)?).await?;
        Ok(record.filter(|record| record.dropping).map(|record| DropId(record.drop_id)))
    }

    /// Forgets a database whose last entity was dropped: its name is free, unless it was used and dropped again.
    pub(crate) async fn unmark(&self, database: &DatabaseName, ended: &DropId) -> Result<()> {
        let turn = self.turn.lock().await;
        let unmark = |before: Option<Record>| {
            let is_it = |record: &Record| record.dropping && record.drop_id == ended.0;
            Ok(before.filter(|record| !is_it(record)))
        };
        self.change(database, &turn, unmark).await?;
        // Under the turn, so that a drop that is marked from now on finds nobody at it.
        self.end_drop(database);
        self.drops_finished.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// How many drops this process works on, and how many it has finished.
    pub(crate) fn drop_counts(&self) -> (u64, u64) {
        (self.drops().len() as u64, self.drops_finished.load(Ordering::Relaxed))
    }

    /// The databases whose drop was begun.
    pub(crate) async fn marked(&self) -> Result<Vec<DatabaseName>> {
        let all = self.records.all::<Record>().await?;
        let dropping = all.iter().filter(|(_, record)| record.dropping);
        dropping.map(|(key, _)| DatabaseName::parse(&key.as_str().replace(':', "."))).collect()
    }

    /// Whether this caller is the one to do the work of a drop: nobody else of this process does.
    pub(crate) fn begin_drop(&self, database: &DatabaseName) -> bool {
        let mut drops = self.drops();
        let free = !drops.contains_key(database);
        drops.entry(database.clone()).or_default();
        free
    }

    /// This process has nothing to do any more for the drop of a database.
    pub(crate) fn end_drop(&self, database: &DatabaseName) {
        self.drops().remove(database);
    }

    /// Notes how far a drop is.
    pub(crate) fn note_drop(&self, database: &DatabaseName, note: impl FnOnce(&mut DropProgress)) {
        note(self.drops().entry(database.clone()).or_default());
    }

    /// What is stored about a database: from memory while that can be trusted.
    async fn record(&self, database: &DatabaseName) -> Result<Option<Arc<Record>>> {
        if let Some(record) = self.remembered(database) {
            return Ok(record);
        }
        let _turn = self.turn.lock().await;
        if let Some(record) = self.remembered(database) {
            return Ok(record);
        }
        let read = self.clock.now();
        let record = self.records.get(&key(database)?).await?.map(Arc::new);
        self.known().put(database.clone(), Known { record: record.clone(), read });
        Ok(record)
    }

    /// What is known about a database, and may be relied on now; a clock that was set back proves nothing.
    fn remembered(&self, database: &DatabaseName) -> Option<Option<Arc<Record>>> {
        let now = self.clock.now();
        let is_young = |known: &&Known| known.read <= now && now < known.read.after(SETTINGS_AGE_MAX);
        let shared = self.records.shared();
        self.known().get(database).filter(|known| !shared || is_young(known)).map(|known| known.record.clone())
    }

    async fn change(
        &self,
        database: &DatabaseName,
        _turn: &tokio::sync::MutexGuard<'_, ()>,
        change: impl FnMut(Option<Record>) -> Result<Option<Record>>,
    ) -> Result<()> {
        let read = self.clock.now();
        let changed = self.records.update(&key(database)?, change).await;
        match changed {
            Ok(record) => _ = self.known().put(database.clone(), Known { record: record.map(Arc::new), read }),
            Err(error) => {
                self.known().pop(database);
                return Err(error);
            }
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, LruCache<DatabaseName, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drops(&self) -> MutexGuard<'_, HashMap<DatabaseName, DropProgress>> {
        self.drops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a database's record lies: a key has no two dots in a row, and a database no colon.
fn key(database: &DatabaseName) -> Result<EntityKey> {
    EntityKey::parse(&database.as_str().replace('.', ":"))
}

fn dropping(database: &DatabaseName) -> Error {
    let message = format!("database {database} is being dropped; it can be used again once that is done");
    Error::conflict(message).with_code(DROPPING)
}
