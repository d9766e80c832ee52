//! Many at once: one winner, whole objects, no step back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Fixture, RACERS, entity, image, one_winner, race, seed_of, small};
use crate::conformance::object;
use crate::error::ErrorKind;
use crate::storage::{Expect, Storage};

const ROUNDS: usize = 20;

/// "Exactly one of two writers that expect the same wins": nothing there.
pub async fn of_many_creators_one_wins(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    for round in 0..ROUNDS {
        let name = entity(&format!("n{round}"));
        let results = race(RACERS, |number| {
            let (storage, name) = (storage.clone(), name.clone());
            async move { storage.put(&name, &small(number), &Expect::Absent).await }
        });
        let winner = one_winner(results.await);
        assert_eq!(seed_of(&image(&*storage, &name).await.unwrap()), winner);
    }
}

/// "Exactly one of two writers that expect the same wins": the same state.
pub async fn of_many_updaters_one_wins(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    let name = entity("a");
    let mut current = storage.put(&name, &small(0), &Expect::Absent).await.unwrap();
    for _ in 0..ROUNDS {
        let results = race(RACERS, |number| {
            let (storage, name, expect) = (storage.clone(), name.clone(), Expect::Revision(current.clone()));
            async move { storage.put(&name, &small(number), &expect).await }
        });
        let winner = one_winner(results.await);
        let stored = storage.get(&name).await.unwrap().unwrap();
        assert_eq!(seed_of(&stored.bytes), winner);
        current = stored.revision;
    }
}

/// The same for removals, one of them against a writer.
pub async fn of_many_deleters_one_wins(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    if !storage.capabilities().conditional_delete {
        return;
    }
    let name = entity("a");
    for _ in 0..ROUNDS {
        let current = storage.put(&name, &small(0), &Expect::Absent).await.unwrap();
        let results = race(RACERS, |number| {
            let (storage, name, expect) = (storage.clone(), name.clone(), Expect::Revision(current.clone()));
            async move {
                match number {
                    0 => storage.put(&name, &small(7), &expect).await.map(drop),
                    _ => storage.delete(&name, &expect).await,
                }
            }
        });
        let winner = one_winner(results.await);
        let found = image(&*storage, &name).await.map(|image| seed_of(&image));
        assert_eq!(found, (winner == 0).then_some(7));
        storage.delete(&name, &Expect::Anything).await.unwrap();
    }
}

/// Nobody's addition is lost, and none counts twice.
pub async fn a_counter_by_compare_and_swap_is_exact(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    count(vec![storage]).await;
}

/// "Other processes may write the same store at the same time": the same counter from two open stores.
pub async fn a_shared_store_has_one_winner_among_processes(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    if storage.capabilities().shared {
        count(vec![storage, fixture.open().await]).await;
    }
}

async fn count(storages: Vec<Arc<dyn Storage>>) {
    const COUNTERS: u64 = 8;
    const EACH: u64 = 25;
    let name = entity("counter");
    storages[0].put(&name, &small(0), &Expect::Absent).await.unwrap();
    race(COUNTERS, |number| {
        let (storage, name) = (storages[number as usize % storages.len()].clone(), name.clone());
        async move {
            let mut counted = 0;
            while counted < EACH {
                let found = storage.get(&name).await.unwrap().unwrap();
                let next = small(seed_of(&found.bytes) + 1);
                match storage.put(&name, &next, &Expect::Revision(found.revision)).await {
                    Ok(_) => counted += 1,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}"),
                }
            }
        }
    })
    .await;
    for storage in storages {
        assert_eq!(seed_of(&image(&*storage, &name).await.unwrap()), COUNTERS * EACH);
    }
}

/// `Anything` is never a conflict, and the last state is one of those that were put.
pub async fn unconditional_writers_all_succeed(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    let results = race(RACERS, |number| {
        let storage = storage.clone();
        async move {
            for _ in 0..ROUNDS {
                storage.put(&entity("a"), &small(number), &Expect::Anything).await.unwrap();
            }
            let last = small(number);
            let revision = storage.put(&entity("a"), &last, &Expect::Anything).await.unwrap();
            (last.bytes().clone(), revision)
        }
    });
    let lasts = results.await;
    let stored = storage.get(&entity("a")).await.unwrap().unwrap();
    assert!(lasts.contains(&(stored.bytes, stored.revision)));
}

/// "A reader sees a whole object: the one before a write or the one after it."
pub async fn readers_see_whole_objects(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    let name = entity("a");
    let objects: Vec<_> =
        [10, 70_000, 500, 9_000].into_iter().zip(0..).map(|(size, seed)| object(seed, size)).collect();
    storage.put(&name, &objects[0], &Expect::Absent).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    race(4, |number| {
        let (storage, name, objects, stop) = (storage.clone(), name.clone(), objects.clone(), stop.clone());
        async move {
            if number == 0 {
                for object in objects.iter().cycle().take(150) {
                    storage.put(&name, object, &Expect::Anything).await.unwrap();
                }
                stop.store(true, Ordering::Relaxed);
            }
            while !stop.load(Ordering::Relaxed) {
                let stored = storage.get(&name).await.unwrap().unwrap();
                let original = &objects[seed_of(&stored.bytes) as usize];
                assert!(stored.bytes == *original.bytes(), "a reader saw what nobody wrote");
                let head = storage.head(&name).await.unwrap().unwrap();
                assert!(objects.iter().any(|object| object.bytes().starts_with(&head.start)));
                assert!(objects.iter().any(|object| object.bytes().len() as u64 == head.size_bytes));
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
}

/// "Every later read sees it": no reader goes back behind what was acknowledged, or behind what it has seen.
pub async fn a_reader_never_sees_an_older_state(fixture: &impl Fixture) {
    const WRITES: u64 = 200;
    let storage = fixture.open().await;
    let name = entity("a");
    storage.put(&name, &small(0), &Expect::Absent).await.unwrap();
    let acknowledged = Arc::new(AtomicU64::new(0));
    race(4, |number| {
        let (storage, name, acknowledged) = (storage.clone(), name.clone(), acknowledged.clone());
        async move {
            if number == 0 {
                for seed in 1..=WRITES {
                    storage.put(&name, &small(seed), &Expect::Anything).await.unwrap();
                    acknowledged.store(seed, Ordering::SeqCst);
                }
            }
            let mut seen = 0;
            while seen < WRITES {
                let at_least = acknowledged.load(Ordering::SeqCst).max(seen);
                seen = seed_of(&image(&*storage, &name).await.unwrap());
                assert!(seen >= at_least, "saw {seen} after {at_least}");
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
}

/// "Atomically": a put whose caller has gone leaves the old object or the new one, and the store works on.
pub async fn an_abandoned_put_is_whole_or_absent(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    for round in 0..ROUNDS as u64 {
        let name = entity(&format!("n{round}"));
        let big = object(round, 20_000);
        let put = tokio::spawn({
            let (storage, name, big) = (storage.clone(), name.clone(), big.clone());
            async move { storage.put(&name, &big, &Expect::Absent).await }
        });
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        put.abort();
        let _ = put.await;
        for _ in 0..3 {
            assert!(image(&*storage, &name).await.is_none_or(|found| found == *big.bytes()));
        }
        storage.put(&name, &small(round), &Expect::Anything).await.unwrap();
        // What was abandoned may still come, but not over a write that was acknowledged after it was begun … unless its
        // condition holds, and it does not.
        assert_eq!(seed_of(&image(&*storage, &name).await.unwrap()), round);
    }
}
