//! What the store itself knows about credentials: its API keys, and the sessions that were ended before their time.
//!
//! All of it is in memory, and each is one sealed record in `_auth` that is written once and never changed. A change is
//! durable before memory takes it. The surprise: where other processes write the same store, the records are listed again
//! when memory is a second old, so what one process withdraws dies in all of them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};

use crate::builtin::api_keys::ApiKey;
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::name::EntityKey;
use crate::records::Records;

/// The most API keys of a store, expired ones included.
pub const API_KEYS_MAX: usize = 10_000;
/// The most sessions that are ended and would still last.
pub const ENDED_SESSIONS_MAX: usize = 100_000;
/// How long another process may take to notice what was withdrawn.
pub const WITHDRAWN_WITHIN: Duration = Duration::from_secs(1);
/// How many records of sessions that are over by now one logout removes.
const SWEPT_AT_ONCE: usize = 8;

/// How many records are read from the storage at the same time.
const READS_AT_ONCE: usize = 32;
/// How the name of an API key's record begins.
const KEY: &str = "key";
/// How the name of an ended session's record begins.
const ENDED: &str = "ended";

/// One record at rest.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Record {
    /// A key that was not deleted.
    ApiKey(ApiKey),
    /// A session that somebody ended.
    EndedSession(EndedSession),
}

#[derive(Serialize, Deserialize)]
struct EndedSession {
    nonce: String,
    /// When it would have ended by itself, and this record is of no use any more.
    expires: Timestamp,
}

/// The API keys and ended sessions of a store.
pub struct Ledger {
    records: Records,
    clock: Arc<dyn Clock>,
    state: RwLock<State>,
    /// Held while the storage is read or changed, so that memory takes the changes in their order.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    keys: HashMap<String, Arc<ApiKey>>,
    ended: HashMap<String, Timestamp>,
    /// The names of records that do not open.
    damaged: HashSet<EntityKey>,
    /// When the storage was read; `None` when memory is in doubt.
    read: Option<Timestamp>,
}

impl State {
    /// Whether a record is in memory. None ever changes.
    fn knows(&self, name: &EntityKey) -> bool {
        let known = match name.as_str().split_once('.') {
            Some((KEY, id)) => self.keys.contains_key(id),
            Some((ENDED, nonce)) => self.ended.contains_key(nonce),
            _ => false,
        };
        known || self.damaged.contains(name)
    }

    /// Forgets whatever is not among these records.
    fn forget_others(&mut self, listed: &HashSet<EntityKey>) {
        let is_listed = |kind: &str, id: &str| record_name(kind, id).is_ok_and(|name| listed.contains(&name));
        self.keys.retain(|id, _| is_listed(KEY, id));
        self.ended.retain(|nonce, _| is_listed(ENDED, nonce));
        self.damaged.retain(|name| listed.contains(name));
    }

    /// Takes a record that was read; `None` is a damaged one. A session is ended even if nobody can say until when.
    fn take(&mut self, name: EntityKey, record: Option<Record>) {
        match (record, name.as_str().split_once('.')) {
            (Some(Record::ApiKey(key)), _) => _ = self.keys.insert(key.id.clone(), Arc::new(key)),
            (Some(Record::EndedSession(ended)), _) => _ = self.ended.insert(ended.nonce, ended.expires),
            (None, Some((ENDED, nonce))) => _ = self.ended.insert(nonce.to_owned(), Timestamp(u64::MAX)),
            (None, _) => _ = self.damaged.insert(name),
        }
    }
}

impl Ledger {
    /// The ledger of a store, read into memory.
    pub async fn open(records: Records, clock: Arc<dyn Clock>) -> Result<Self> {
        let ledger = Self { records, clock, state: RwLock::default(), turn: tokio::sync::Mutex::default() };
        ledger.refresh().await?;
        Ok(ledger)
    }

    /// Where the time comes from.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The key of an id, expired or not, as it is at most [`WITHDRAWN_WITHIN`] ago.
    pub(super) async fn key(&self, id: &str) -> Result<Option<Arc<ApiKey>>> {
        self.refresh().await?;
        Ok(self.state().keys.get(id).cloned())
    }

    /// Every key, the oldest first.
    pub(super) async fn keys(&self) -> Result<Vec<Arc<ApiKey>>> {
        self.refresh().await?;
        let mut keys: Vec<_> = self.state().keys.values().cloned().collect();
        keys.sort_unstable_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(keys)
    }

    /// Keeps a new key, durably; `Conflict` if its id is taken.
    pub(super) async fn add(&self, key: ApiKey) -> Result<Arc<ApiKey>> {
        let _turn = self.turn.lock().await;
        if self.state().keys.len() >= API_KEYS_MAX {
            let message = format!("this store has {API_KEYS_MAX} API keys, expired ones included; delete some");
            return Err(Error::conflict(message).with_code("too_many_keys"));
        }
        let name = record_name(KEY, &key.id)?;
        let added = self.records.update(&name, |before| match before {
            None => Ok(Some(Record::ApiKey(key.clone()))),
            Some(_) => Err(Error::conflict("the id that was drawn for the key is taken; try again")),
        });
        self.doubted(added.await)?;
        let key = Arc::new(key);
        self.state_mut().keys.insert(key.id.clone(), key.clone());
        Ok(key)
    }

    /// Removes a key, durably; says whether there was one.
    pub(super) async fn remove(&self, id: &str) -> Result<bool> {
        let _turn = self.turn.lock().await;
        let Ok(name) = record_name(KEY, id) else { return Ok(false) };
        let mut existed = false;
        let removed = self.records.update(&name, |before: Option<Record>| {
            existed = before.is_some();
            Ok(None)
        });
        self.doubted(removed.await)?;
        self.state_mut().keys.remove(id);
        Ok(existed)
    }

    /// Whether a session was ended.
    pub(super) async fn is_ended(&self, nonce: &str) -> Result<bool> {
        self.refresh().await?;
        Ok(self.state().ended.contains_key(nonce))
    }

    /// Ends a session, durably; `expires` is when it would end by itself.
    pub(super) async fn end(&self, nonce: &str, expires: Timestamp) -> Result<()> {
        let _turn = self.turn.lock().await;
        self.sweep().await?;
        if self.state().ended.len() >= ENDED_SESSIONS_MAX {
            let message = format!("{ENDED_SESSIONS_MAX} ended sessions are remembered; repeat when some are over");
            return Err(Error::new(ErrorKind::Throttled, message));
        }
        let ended = |_: Option<Record>| Ok(Some(Record::EndedSession(EndedSession { nonce: nonce.into(), expires })));
        self.doubted(self.records.update(&record_name(ENDED, nonce)?, ended).await)?;
        self.state_mut().ended.insert(nonce.into(), expires);
        Ok(())
    }

    /// Removes some records of sessions that are over by themselves.
    async fn sweep(&self) -> Result<()> {
        let now = self.clock.now();
        let over: Vec<String> = {
            let state = self.state();
            let over = state.ended.iter().filter(|(_, expires)| **expires <= now);
            over.take(SWEPT_AT_ONCE).map(|(nonce, _)| nonce.clone()).collect()
        };
        for nonce in over {
            let name = record_name(ENDED, &nonce)?;
            self.doubted(self.records.update(&name, |_: Option<Record>| Ok(None)).await)?;
            self.state_mut().ended.remove(&nonce);
        }
        Ok(())
    }

    /// Reads the storage again if memory is in doubt or too old.
    async fn refresh(&self) -> Result<()> {
        if self.is_fresh() {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        if self.is_fresh() {
            return Ok(());
        }
        let begun = self.clock.now();
        let listed: HashSet<EntityKey> = self.records.keys().await?.into_iter().collect();
        let unknown: Vec<_> = {
            let state = self.state();
            listed.iter().filter(|name| !state.knows(name)).cloned().collect()
        };
        let read = stream::iter(unknown).map(async |name| (self.records.get::<Record>(&name).await, name));
        let read: Vec<_> = read.buffer_unordered(READS_AT_ONCE).collect().await;
        let mut found = Vec::with_capacity(read.len());
        for (record, name) in read {
            match record {
                Ok(record) => found.extend(record.map(|record| (name, Some(record)))),
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    tracing::error!(%error, "a record of a credential is damaged; the credential does not count");
                    found.push((name, None));
                }
                Err(error) => return Err(error),
            }
        }
        let mut state = self.state_mut();
        state.forget_others(&listed);
        found.into_iter().for_each(|(name, record)| state.take(name, record));
        state.read = Some(begun);
        Ok(())
    }

    fn is_fresh(&self) -> bool {
        let Some(read) = self.state().read else { return false };
        let now = self.clock.now();
        !self.records.shared() || (read <= now && now < read.after(WITHDRAWN_WITHIN))
    }

    /// A change that failed may have happened all the same: memory is read again before it is used.
    fn doubted<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.state_mut().read = None;
        }
        result
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a change to its end even if the caller goes away, so that memory never misses what the storage took.
pub(super) async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let ended = tokio::spawn(change).await;
    ended.unwrap_or_else(|_| Err(Error::outcome_unknown("the change was cut short; look before repeating it")))
}

/// The name of a record: what it is about, and which one.
fn record_name(kind: &str, id: &str) -> Result<EntityKey> {
    EntityKey::parse(&format!("{kind}.{id}"))
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(f, "Ledger({} keys, {} ended sessions)", state.keys.len(), state.ended.len())
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
pub(super) mod tests;
