//! One object at a time: `get`, `head`, `put`, `delete`.

use super::{Fixture, GROUP, entity, image, public, refused, revision, small};
use crate::conformance::{name, object};
use crate::error::ErrorKind;
use crate::storage::{Expect, Space};

/// "The object under a name … once this returns … every later read sees it."
pub async fn what_was_put_is_got_byte_for_byte(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    for seed in 0..3 {
        let object = small(seed);
        let put = storage.put(&entity("a"), &object, &Expect::Anything).await.unwrap();
        let stored = storage.get(&entity("a")).await.unwrap().unwrap();
        assert_eq!(stored.bytes, *object.bytes());
        assert_eq!(stored.revision, put, "a reader sees the revision that the writer was told");
    }
}

/// "Or `None`."
pub async fn nothing_is_found_under_a_free_name(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    storage.put(&entity("a"), &small(0), &Expect::Anything).await.unwrap();
    for free in ["b", "a0", "A"] {
        assert!(storage.get(&entity(free)).await.unwrap().is_none());
        assert!(storage.head(&entity(free)).await.unwrap().is_none());
    }
}

/// "The header of an object and its revision … It agrees with `get`."
pub async fn a_head_agrees_with_the_object(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    for body_bytes in [0, 1, 3_000, 300_000] {
        let object = object(7, body_bytes);
        storage.put(&entity("a"), &object, &Expect::Anything).await.unwrap();
        let (head, stored) =
            (storage.head(&entity("a")).await.unwrap().unwrap(), storage.get(&entity("a")).await.unwrap());
        let stored = stored.unwrap();
        assert_eq!((head.size_bytes, head.revision), (stored.bytes.len() as u64, stored.revision));
        assert!(stored.bytes.starts_with(&head.start));
        let header_bytes = u16::from_le_bytes([stored.bytes[8], stored.bytes[9]]);
        assert!(head.start.len() >= usize::from(header_bytes), "the whole header is there");
    }
}

/// A revision is "different for every write".
pub async fn every_write_has_another_revision(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    let mut seen = Vec::new();
    for seed in [1, 1, 2] {
        let put = storage.put(&entity("a"), &small(seed), &Expect::Anything).await.unwrap();
        assert_eq!(revision(&*storage, &entity("a")).await.unwrap(), put);
        assert!(!seen.contains(&put));
        seen.push(put);
    }
}

/// "One of the few that are public by nature."
pub async fn public_objects_are_kept_like_sealed_ones(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    for space in [Space::Store, Space::Templates] {
        let name = name(space, "", "a.json");
        let first = storage.put(&name, &public("{}"), &Expect::Absent).await.unwrap();
        refused(ErrorKind::Conflict, storage.put(&name, &public("[]"), &Expect::Absent).await);
        let second = storage.put(&name, &public("{\"a\":1}"), &Expect::Revision(first.clone())).await.unwrap();
        assert_ne!(first, second);
        refused(ErrorKind::Conflict, storage.put(&name, &public("[]"), &Expect::Revision(first)).await);
        let stored = storage.get(&name).await.unwrap().unwrap();
        assert_eq!((&stored.bytes[..], &stored.revision), (&b"{\"a\":1}"[..], &second));
        assert_eq!(storage.head(&name).await.unwrap().unwrap().size_bytes, 7);
        storage.delete(&name, &Expect::Anything).await.unwrap();
        assert_eq!(image(&*storage, &name).await, None);
    }
}

/// "A kind of object; a storage keeps each apart", and so groups and names.
pub async fn objects_of_other_spaces_groups_and_names_are_apart(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    let mut all = Vec::new();
    for space in Space::ALL {
        for group in ["", "a", "a.b"] {
            all.extend(["b", "a", "a.b", "b.a"].map(|text| (name(space, group, text), small(all.len() as u64))));
        }
    }
    for (name, object) in &all {
        storage.put(name, object, &Expect::Absent).await.unwrap();
    }
    for (name, object) in &all {
        assert_eq!(image(&*storage, name).await.as_ref(), Some(object.bytes()), "{name:?}");
    }
    for (gone, (name, _)) in all.iter().enumerate().step_by(2) {
        storage.delete(name, &Expect::Anything).await.unwrap();
        for (at, (name, object)) in all.iter().enumerate().skip(gone.saturating_sub(2)).take(5) {
            let is_there = at > gone || at % 2 == 1;
            assert_eq!(image(&*storage, name).await.as_ref(), is_there.then_some(object.bytes()), "{name:?}");
        }
    }
}

/// "Group and name hold only `[0-9A-Za-z._%@-]` … a name has 240 bytes at most."
pub async fn every_spelling_of_a_name_is_kept(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    let long = "n".repeat(240);
    let names =
        ["a", "A", "a%2F", "a%2f", "%2Ehidden", "a-b_c.d@7", "0", "-", "_x", "a.json.enc", "a@1", "a@10", &long];
    for (seed, text) in names.iter().enumerate() {
        for group in [GROUP, ""] {
            storage.put(&name(Space::Entities, group, text), &small(seed as u64), &Expect::Absent).await.unwrap();
        }
    }
    for (seed, text) in names.iter().enumerate() {
        let found = image(&*storage, &entity(text)).await.unwrap();
        assert_eq!(super::seed_of(&found), seed as u64, "{text}");
    }
    let mut expected = names.map(str::to_owned);
    expected.sort();
    for group in [GROUP, ""] {
        let listed = super::listed(&*storage, Space::Entities, group).await;
        assert_eq!(listed.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), expected);
    }
}

/// An object of any size is whole.
pub async fn large_and_empty_bodies_are_kept(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    for body_bytes in [0, 1, 4_095, 4_096, 65_536, 1 << 20, (5 << 20) + 1] {
        let object = object(3, body_bytes);
        storage.put(&entity("a"), &object, &Expect::Anything).await.unwrap();
        assert_eq!(image(&*storage, &entity("a")).await.as_ref(), Some(object.bytes()), "{body_bytes}");
    }
}

/// "If `expect` does not hold … the error is `Conflict`": nothing was expected.
pub async fn a_put_that_expects_nothing_there_finds_nothing(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    storage.put(&entity("a"), &small(0), &Expect::Absent).await.unwrap();
    refused(ErrorKind::Conflict, storage.put(&entity("a"), &small(1), &Expect::Absent).await);
    storage.delete(&entity("a"), &Expect::Anything).await.unwrap();
    storage.put(&entity("a"), &small(2), &Expect::Absent).await.unwrap();
}

/// "If `expect` does not hold … the error is `Conflict`": a state was expected.
pub async fn a_put_that_expects_a_revision_finds_it(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    let first = storage.put(&entity("a"), &small(0), &Expect::Anything).await.unwrap();
    let other = storage.put(&entity("b"), &small(0), &Expect::Anything).await.unwrap();
    refused(ErrorKind::Conflict, storage.put(&entity("a"), &small(1), &Expect::Revision(other)).await);
    refused(ErrorKind::Conflict, storage.put(&entity("c"), &small(1), &Expect::Revision(first.clone())).await);
    storage.put(&entity("a"), &small(1), &Expect::Revision(first)).await.unwrap();
}

/// A revision is one state, and no later one.
pub async fn an_old_revision_never_fits_again(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    let first = storage.put(&entity("a"), &small(1), &Expect::Anything).await.unwrap();
    storage.put(&entity("a"), &small(2), &Expect::Anything).await.unwrap();
    refused(ErrorKind::Conflict, storage.put(&entity("a"), &small(3), &Expect::Revision(first.clone())).await);
    storage.put(&entity("a"), &small(1), &Expect::Anything).await.unwrap();
    refused(ErrorKind::Conflict, storage.put(&entity("a"), &small(3), &Expect::Revision(first.clone())).await);
    storage.delete(&entity("a"), &Expect::Anything).await.unwrap();
    refused(ErrorKind::Conflict, storage.put(&entity("a"), &small(3), &Expect::Revision(first.clone())).await);
    storage.put(&entity("a"), &small(1), &Expect::Absent).await.unwrap();
    refused(ErrorKind::Conflict, storage.put(&entity("a"), &small(3), &Expect::Revision(first)).await);
}

/// "If `expect` does not hold, nothing changes."
pub async fn a_conflict_changes_nothing(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    let old = small(1);
    let revision = storage.put(&entity("a"), &old, &Expect::Anything).await.unwrap();
    refused(ErrorKind::Conflict, storage.put(&entity("a"), &small(2), &Expect::Absent).await);
    refused(ErrorKind::Conflict, storage.put(&entity("b"), &small(2), &Expect::Revision(revision.clone())).await);
    assert_eq!(image(&*storage, &entity("a")).await.as_ref(), Some(old.bytes()));
    assert_eq!(image(&*storage, &entity("b")).await, None);
    storage.put(&entity("a"), &small(3), &Expect::Revision(revision)).await.unwrap();
}

/// "Removes an object."
pub async fn a_delete_removes(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    storage.put(&entity("a"), &small(0), &Expect::Anything).await.unwrap();
    storage.delete(&entity("a"), &Expect::Anything).await.unwrap();
    assert!(storage.get(&entity("a")).await.unwrap().is_none());
    assert!(storage.head(&entity("a")).await.unwrap().is_none());
}

/// "Removing what is not there succeeds unless `expect` demanded it."
pub async fn a_delete_of_nothing_succeeds_unless_something_was_expected(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    storage.delete(&entity("a"), &Expect::Anything).await.unwrap();
    if storage.capabilities().conditional_delete {
        let other = storage.put(&entity("b"), &small(0), &Expect::Anything).await.unwrap();
        storage.delete(&entity("a"), &Expect::Absent).await.unwrap();
        refused(ErrorKind::Conflict, storage.delete(&entity("a"), &Expect::Revision(other)).await);
    }
}

/// "A delete can be conditional": it removes the expected state or nothing.
pub async fn a_conditional_delete_finds_what_it_expects(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    if !storage.capabilities().conditional_delete {
        return;
    }
    let first = storage.put(&entity("a"), &small(0), &Expect::Anything).await.unwrap();
    let second = storage.put(&entity("a"), &small(1), &Expect::Anything).await.unwrap();
    refused(ErrorKind::Conflict, storage.delete(&entity("a"), &Expect::Revision(first)).await);
    refused(ErrorKind::Conflict, storage.delete(&entity("a"), &Expect::Absent).await);
    assert_eq!(revision(&*storage, &entity("a")).await, Some(second.clone()));
    storage.delete(&entity("a"), &Expect::Revision(second)).await.unwrap();
    assert_eq!(image(&*storage, &entity("a")).await, None);
}
