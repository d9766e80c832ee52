//! Beginning and end: what survives, and what a closed store refuses.

use super::{Fixture, entity, image, refused, revision, small};
use crate::conformance::{name, object};
use crate::error::ErrorKind;
use crate::storage::{Expect, ObjectName, Space, Write};

/// "Whether reads and writes can be expected to work now."
pub async fn a_new_store_is_ready(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    storage.ready().await.unwrap();
    storage.put(&entity("a"), &small(0), &Expect::Anything).await.unwrap();
    storage.ready().await.unwrap();
}

/// "Later writes fail as `Unavailable`", and so is what such a store says of itself.
pub async fn a_closed_store_refuses_writes(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    storage.put(&entity("a"), &small(0), &Expect::Anything).await.unwrap();
    storage.close().await.unwrap();
    refused(ErrorKind::Unavailable, storage.put(&entity("b"), &small(1), &Expect::Anything).await);
    refused(ErrorKind::Unavailable, storage.delete(&entity("a"), &Expect::Anything).await);
    let write = Write { name: entity("b"), object: Some(small(1)), expect: Expect::Anything };
    refused(ErrorKind::Unavailable, storage.write_batch(vec![write]).await);
    refused(ErrorKind::Unavailable, storage.quarantine(&entity("a")).await);
    refused(ErrorKind::Unavailable, storage.ready().await);
    storage.close().await.unwrap();
}

/// "Once this returns, a crash loses nothing": the store is dropped without a word.
pub async fn what_was_acknowledged_is_there_after_reopening(fixture: &impl Fixture) {
    outlives(fixture, false).await;
}

/// "What was acknowledged stays."
pub async fn what_was_acknowledged_is_there_after_closing(fixture: &impl Fixture) {
    outlives(fixture, true).await;
}

async fn outlives(fixture: &impl Fixture, closes: bool) {
    let mut storage = fixture.open().await;
    if !storage.capabilities().durable {
        return;
    }
    let space = |at: usize| Space::ALL[at % Space::ALL.len()];
    let names: Vec<ObjectName> = (0..60).map(|at| name(space(at), "g", &format!("n{at}"))).collect();
    let mut expected = vec![None; names.len()];
    for life in 0..3 {
        for (at, name) in names.iter().enumerate() {
            let was = image(&*storage, name).await;
            assert_eq!(was, expected[at], "{name:?} at the beginning of life {life}");
            let new = (at + life) % 3 != 0;
            let object = new.then(|| object(at as u64, at * 900));
            match &object {
                Some(object) => drop(storage.put(name, object, &Expect::Anything).await.unwrap()),
                None => storage.delete(name, &Expect::Anything).await.unwrap(),
            }
            expected[at] = object.map(|object| object.bytes().clone());
        }
        let together = (0..3).map(|at| Write {
            name: names[at].clone(),
            object: Some(small(at as u64)),
            expect: Expect::Anything,
        });
        let together: Vec<_> = together.collect();
        for (at, write) in together.iter().enumerate() {
            expected[at] = write.object.as_ref().map(|object| object.bytes().clone());
        }
        storage.write_batch(together).await.unwrap().into_iter().for_each(|answer| drop(answer.unwrap()));
        if closes {
            storage.close().await.unwrap();
        }
        drop(storage);
        storage = fixture.open().await;
    }
    for (name, expected) in names.iter().zip(expected) {
        assert_eq!(image(&*storage, name).await, expected, "{name:?}");
    }
}

/// A state that was seen before a restart is the same state after it.
pub async fn a_revision_outlives_its_process(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    if !storage.capabilities().durable {
        return;
    }
    let first = storage.put(&entity("a"), &small(0), &Expect::Absent).await.unwrap();
    let second = storage.put(&entity("a"), &small(1), &Expect::Revision(first.clone())).await.unwrap();
    drop(storage);
    let storage = fixture.open().await;
    assert_eq!(revision(&*storage, &entity("a")).await.as_ref(), Some(&second));
    refused(ErrorKind::Conflict, storage.put(&entity("a"), &small(2), &Expect::Revision(first)).await);
    storage.put(&entity("a"), &small(2), &Expect::Revision(second)).await.unwrap();
}
