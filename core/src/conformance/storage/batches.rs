//! Several writes at once.

use super::{Fixture, RACERS, entity, image, race, refused, revision, seed_of, small};
use crate::error::{Error, ErrorKind};
use crate::storage::{Expect, Object, Write};

fn put(name: &str, seed: u64, expect: Expect) -> Write {
    Write { name: entity(name), object: Some(small(seed)), expect }
}

fn delete(name: &str, expect: Expect) -> Write {
    Write { name: entity(name), object: None, expect }
}

/// "Several writes at once, answered in order; a removal answers `None`."
pub async fn a_batch_is_answered_in_order(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    storage.put(&entity("old"), &small(0), &Expect::Anything).await.unwrap();
    let gone = storage.put(&entity("gone"), &small(0), &Expect::Anything).await.unwrap();
    let writes = vec![
        put("new", 1, Expect::Absent),
        delete(
            "gone",
            if storage.capabilities().conditional_delete { Expect::Revision(gone) } else { Expect::Anything },
        ),
        put("old", 2, Expect::Anything),
        delete("never", Expect::Anything),
    ];
    let objects: Vec<Option<Object>> = writes.iter().map(|write| write.object.clone()).collect();
    let answers: Vec<_> = storage.write_batch(writes).await.unwrap().into_iter().map(Result::unwrap).collect();
    for ((name, answer), object) in ["new", "gone", "old", "never"].into_iter().zip(answers).zip(objects) {
        assert_eq!(answer, revision(&*storage, &entity(name)).await, "{name}");
        assert_eq!(image(&*storage, &entity(name)).await.as_ref(), object.as_ref().map(Object::bytes), "{name}");
    }
}

/// Of two writes in a batch that expect the same, one wins: each is checked after the ones before it.
pub async fn a_batch_sees_its_own_earlier_writes(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    let writes = vec![put("a", 1, Expect::Absent), put("a", 2, Expect::Absent)];
    let answers = storage.write_batch(writes).await.unwrap();
    refused(ErrorKind::Conflict, answers.into_iter().nth(1).unwrap());
    let is_there = !storage.capabilities().atomic_batch;
    assert_eq!(image(&*storage, &entity("a")).await.map(|image| seed_of(&image)), is_there.then_some(1));
    let (first, last) = (put("b", 1, Expect::Absent), put("b", 3, Expect::Anything));
    let between = delete("b", Expect::Anything);
    for answer in storage.write_batch(vec![first, between, put("b", 2, Expect::Absent), last]).await.unwrap() {
        answer.unwrap();
    }
    assert_eq!(image(&*storage, &entity("b")).await.map(|image| seed_of(&image)), Some(3));
    for answer in storage.write_batch(vec![put("b", 4, Expect::Anything), delete("b", Expect::Anything)]).await.unwrap()
    {
        answer.unwrap();
    }
    assert_eq!(image(&*storage, &entity("b")).await, None);
}

/// "If one expectation fails nothing changes, the failing writes answer `Conflict`, and so do the others, under the code
/// `batch_not_applied`." Where batches are not atomic, each write is answered by itself.
pub async fn a_batch_is_all_or_nothing(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    let kept = small(0);
    storage.put(&entity("kept"), &kept, &Expect::Anything).await.unwrap();
    let writes = vec![
        put("new", 1, Expect::Absent),
        put("kept", 2, Expect::Absent),
        delete("kept", Expect::Anything),
        put("x", 3, Expect::Anything),
    ];
    let answers = storage.write_batch(writes).await.unwrap();
    assert_eq!(answers.len(), 4);
    let codes: Vec<_> = answers.iter().map(|answer| answer.as_ref().map_err(Error::code).err()).collect();
    if !storage.capabilities().atomic_batch {
        assert_eq!(codes, [None, Some("conflict"), None, None]);
        return;
    }
    assert_eq!(
        codes,
        [Some("batch_not_applied"), Some("conflict"), Some("batch_not_applied"), Some("batch_not_applied")]
    );
    for answer in answers {
        refused(ErrorKind::Conflict, answer);
    }
    assert_eq!(image(&*storage, &entity("new")).await, None);
    assert_eq!(image(&*storage, &entity("x")).await, None);
    assert_eq!(image(&*storage, &entity("kept")).await.as_ref(), Some(kept.bytes()));
}

/// Nothing at once is nothing.
pub async fn an_empty_batch_has_no_answers(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    assert!(storage.write_batch(Vec::new()).await.unwrap().is_empty());
}

/// "All or nothing", among batches that want the same names in different orders, and single writers.
pub async fn of_racing_batches_one_wins_as_a_whole(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    if !storage.capabilities().atomic_batch {
        return;
    }
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    for _ in 0..10 {
        let results = race(RACERS, |number| {
            let storage = storage.clone();
            async move {
                if number == 0 {
                    return storage.put(&entity("c"), &small(number), &Expect::Absent).await.is_ok();
                }
                let mut writes = NAMES.map(|name| put(name, number, Expect::Absent));
                writes.rotate_left(number as usize % NAMES.len());
                storage.write_batch(writes.into()).await.unwrap().iter().all(Result::is_ok)
            }
        });
        let won: Vec<_> = results.await.into_iter().enumerate().filter(|(_, won)| *won).collect();
        assert_eq!(won.len(), 1, "{won:?}");
        for name in NAMES {
            let found = image(&*storage, &entity(name)).await.map(|image| seed_of(&image) as usize);
            let expected = if won[0].0 == 0 && name != "c" { None } else { Some(won[0].0) };
            assert_eq!(found, expected, "{name}");
            storage.delete(&entity(name), &Expect::Anything).await.unwrap();
        }
    }
}
