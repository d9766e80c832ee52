//! The ledger over storages that others write too, and that fail.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::*;
use crate::auth::Permission;
use crate::builtin::api_keys::{ApiKeys, NewApiKey};
use crate::builtin::memory::MemoryStorage;
use crate::clock::ManualClock;
use crate::conformance;
use crate::storage::{
    Capabilities, Expect, Group, Listed, Object, ObjectName, Revision, Space, Storage, Stored, StoredHead, Write,
};

/// A storage that several processes share, and whose answers can get lost.
#[derive(Debug, Default)]
pub(in crate::builtin) struct Shared {
    inner: MemoryStorage,
    alone: bool,
    reads: AtomicUsize,
    loses_answers: AtomicBool,
}

impl Shared {
    fn answer<T>(&self, result: Result<T>) -> Result<T> {
        match self.loses_answers.load(Ordering::SeqCst) {
            true => Err(Error::outcome_unknown("the answer was lost")),
            false => result,
        }
    }
}

#[async_trait]
impl Storage for Shared {
    fn capabilities(&self) -> Capabilities {
        Capabilities { shared: !self.alone, ..self.inner.capabilities() }
    }
    async fn get(&self, name: &ObjectName) -> Result<Option<Stored>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.get(name).await
    }
    async fn head(&self, name: &ObjectName) -> Result<Option<StoredHead>> {
        self.inner.head(name).await
    }
    async fn put(&self, name: &ObjectName, object: &Object, expect: &Expect) -> Result<Revision> {
        self.answer(self.inner.put(name, object, expect).await)
    }
    async fn delete(&self, name: &ObjectName, expect: &Expect) -> Result<()> {
        self.answer(self.inner.delete(name, expect).await)
    }
    async fn write_batch(&self, writes: Vec<Write>) -> Result<Vec<Result<Option<Revision>>>> {
        self.inner.write_batch(writes).await
    }
    fn list(&self, space: Space, group: &Group) -> BoxStream<'_, Result<Listed>> {
        self.inner.list(space, group)
    }
    async fn groups(&self, space: Space) -> Result<Vec<Group>> {
        self.inner.groups(space).await
    }
    async fn quarantine(&self, name: &ObjectName) -> Result<()> {
        self.inner.quarantine(name).await
    }
    async fn ready(&self) -> Result<()> {
        self.inner.ready().await
    }
    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// A ledger over a storage, as a process that starts now has it.
pub(in crate::builtin) async fn ledger(storage: Arc<dyn Storage>, clock: &ManualClock) -> Arc<Ledger> {
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    let records = Records::new(storage, conformance::sealer(), clock.clone(), Space::Auth);
    Arc::new(Ledger::open(records, clock).await.unwrap())
}

#[tokio::test]
async fn what_one_process_ends_is_over_in_the_others_within_a_second() {
    let (storage, clock) = (Arc::new(Shared::default()), ManualClock::new(Timestamp(1)));
    let (one, other) = (ledger(storage.clone(), &clock).await, ledger(storage, &clock).await);
    one.end("a", Timestamp(10_000_000)).await.unwrap();
    assert!(one.is_ended("a").await.unwrap());
    clock.advance(WITHDRAWN_WITHIN);
    assert!(other.is_ended("a").await.unwrap());
}

#[tokio::test]
async fn alone_with_a_storage_nothing_is_read_again() {
    let storage = Arc::new(Shared { alone: true, ..Shared::default() });
    let clock = ManualClock::new(Timestamp(1));
    let (one, other) = (ledger(storage.clone(), &clock).await, ledger(storage, &clock).await);
    one.end("a", Timestamp(10_000_000)).await.unwrap();
    clock.advance(Duration::from_secs(3600));
    assert!(!other.is_ended("a").await.unwrap());
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_before_memory_counts_again() {
    let storage = Arc::new(Shared { alone: true, ..Shared::default() });
    let clock = ManualClock::new(Timestamp(1));
    let ledger = ledger(storage.clone(), &clock).await;
    storage.loses_answers.store(true, Ordering::SeqCst);
    assert_eq!(ledger.end("a", Timestamp(10)).await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    assert!(ledger.is_ended("a").await.unwrap());
}

#[tokio::test]
async fn the_record_of_a_session_goes_when_it_would_be_over_by_itself() {
    let (storage, clock) = (Arc::new(MemoryStorage::new()), ManualClock::new(Timestamp(1)));
    let one = ledger(storage.clone(), &clock).await;
    one.end("a", Timestamp(1_000_000)).await.unwrap();
    clock.advance(Duration::from_secs(1));
    one.end("b", Timestamp(9_000_000)).await.unwrap();
    for ledger in [one, ledger(storage, &clock).await] {
        assert!(!ledger.is_ended("a").await.unwrap());
        assert!(ledger.is_ended("b").await.unwrap());
    }
}

#[tokio::test]
async fn a_record_is_read_once_however_often_they_are_listed() {
    let (storage, clock) = (Arc::new(Shared::default()), ManualClock::new(Timestamp(1)));
    let (one, other) = (ledger(storage.clone(), &clock).await, ledger(storage.clone(), &clock).await);
    for nonce in ["a", "b", "c"] {
        one.end(nonce, Timestamp(u64::MAX)).await.unwrap();
    }
    clock.advance(WITHDRAWN_WITHIN);
    let reads = || storage.reads.load(Ordering::SeqCst);
    let before = reads();
    for _ in 0..5 {
        assert!(other.is_ended("b").await.unwrap());
        clock.advance(WITHDRAWN_WITHIN);
    }
    assert_eq!(reads() - before, 3);
}

#[tokio::test]
async fn a_damaged_record_withdraws_its_credential_and_no_other() {
    let (storage, clock) = (Arc::new(MemoryStorage::new()), ManualClock::new(Timestamp(1)));
    let one = ledger(storage.clone(), &clock).await;
    for nonce in ["a", "b"] {
        one.end(nonce, Timestamp(9_000_000)).await.unwrap();
    }
    let damage = async |kind: &str, id: &str| {
        let (_, address) = conformance::names().internal(Space::Auth, &record_name(kind, id).unwrap());
        let object = conformance::public(b"not sealed".to_vec());
        storage.put(&address.object, &object, &Expect::Anything).await.unwrap();
    };
    damage(ENDED, "a").await;
    damage(KEY, "k").await;
    let name = conformance::name(Space::Auth, "", "not-a-name-of-ours");
    storage.put(&name, &conformance::public(b"anything".to_vec()), &Expect::Absent).await.unwrap();
    let again = ledger(storage.clone(), &clock).await;
    for ended in ["a", "b"] {
        assert!(again.is_ended(ended).await.unwrap());
    }
    assert!(again.key("k").await.unwrap().is_none() && again.keys().await.unwrap().is_empty());
    assert!(!again.is_ended("c").await.unwrap());
}

#[tokio::test]
async fn keys_and_ended_sessions_have_limits_of_their_own() {
    let (storage, clock) = (Arc::new(MemoryStorage::new()), ManualClock::new(Timestamp(1)));
    let ledger = ledger(storage, &clock).await;
    let wanted = NewApiKey { name: "k".into(), permissions: vec![Permission::Read], scopes: vec![], expires_in: None };
    let made = ApiKeys::new(ledger.clone()).create(wanted).await.unwrap().key;
    let of = |at: usize| {
        let mut key = (*made).clone();
        key.id = format!("id{at}");
        Arc::new(key)
    };
    ledger.state_mut().keys.extend((1..API_KEYS_MAX - 1).map(|at| (format!("id{at}"), of(at))));
    ledger.add((*of(0)).clone()).await.unwrap();
    assert_eq!(ledger.add((*of(API_KEYS_MAX)).clone()).await.unwrap_err().code(), "too_many_keys");
    assert!(ledger.remove("id0").await.unwrap());
    ledger.add((*of(API_KEYS_MAX)).clone()).await.unwrap();

    let ended = (1..ENDED_SESSIONS_MAX).map(|at| (format!("n{at}"), Timestamp(u64::MAX)));
    ledger.state_mut().ended.extend(ended);
    ledger.end("last", Timestamp(1_000_000)).await.unwrap();
    assert_eq!(ledger.end("more", Timestamp(1_000_000)).await.unwrap_err().kind(), ErrorKind::Throttled);
    // One that is over by itself makes room.
    clock.advance(Duration::from_secs(1));
    ledger.end("more", Timestamp(9_000_000)).await.unwrap();
}
