//! Names and groups, and what is put aside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::TryStreamExt;

use super::{Fixture, GROUP, entity, image, listed, small};
use crate::conformance::{name, object};
use crate::storage::{Expect, Group, ObjectName, Space, Storage, StrayKind, Write};

/// "The names and sizes in one group."
pub async fn a_listing_has_each_name_once_with_its_size(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    let mut expected = BTreeMap::new();
    for number in 0..50 {
        let (text, object) = (format!("n{number}"), object(number, number as usize * 31));
        for _ in 0..2 {
            storage.put(&entity(&text), &object, &Expect::Anything).await.unwrap();
        }
        expected.insert(text, object.bytes().len() as u64);
    }
    for gone in ["n3", "n30"] {
        storage.delete(&entity(gone), &Expect::Anything).await.unwrap();
        expected.remove(gone);
    }
    assert_eq!(listed(&*storage, Space::Entities, GROUP).await, expected.into_iter().collect::<Vec<_>>());
}

/// "In one group": not in another one, however it is spelt, and not in another space.
pub async fn a_listing_has_only_its_group(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    let groups = ["", "a", "a-", "a.b", "a0", "ab", "b"];
    for space in [Space::Entities, Space::History] {
        for group in groups {
            let name = name(space, group, &format!("{}-in-{group}", space.as_str()));
            storage.put(&name, &small(1), &Expect::Anything).await.unwrap();
        }
    }
    for space in [Space::Entities, Space::History] {
        for group in groups {
            let listed = listed(&*storage, space, group).await;
            assert_eq!(listed.len(), 1, "{listed:?}");
            assert_eq!(listed[0].0, format!("{}-in-{group}", space.as_str()));
        }
    }
    assert!(listed(&*storage, Space::Entities, "nobody").await.is_empty());
    assert!(listed(&*storage, Space::Auth, "a").await.is_empty());
}

/// "What is written while it runs may be missing or present": what is not, is present once.
pub async fn a_listing_beside_writers_has_all_that_stays(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    let stays: BTreeSet<_> = (0..300).map(|number| format!("s{number:03}")).collect();
    for text in &stays {
        storage.put(&entity(text), &small(1), &Expect::Anything).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (storage, stop) = (storage.clone(), stop.clone());
        async move {
            for number in (0..40).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                let name = entity(&format!("s{number:03}-moves"));
                storage.put(&name, &small(2), &Expect::Anything).await.unwrap();
                storage.delete(&name, &Expect::Anything).await.unwrap();
            }
        }
    });
    for _ in 0..10 {
        let names = listed(&*storage, Space::Entities, GROUP).await.into_iter().map(|(name, _)| name);
        let names: Vec<_> = names.filter(|name| !name.ends_with("-moves")).collect();
        assert_eq!(names, stays.iter().cloned().collect::<Vec<_>>());
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
}

/// "A stream, so that a million names need no memory": more names than any chunk holds.
pub async fn many_names_are_listed(fixture: &impl Fixture) {
    const NAMES: u64 = 5_000;
    let storage = fixture.open().await;
    let object = small(1);
    for from in (0..NAMES).step_by(500) {
        let write = |number| Write {
            name: entity(&format!("n{number:05}")),
            object: Some(object.clone()),
            expect: Expect::Absent,
        };
        for answer in storage.write_batch((from..from + 500).map(write).collect()).await.unwrap() {
            answer.unwrap();
        }
    }
    let listed = listed(&*storage, Space::Entities, GROUP).await;
    let size_bytes = object.bytes().len() as u64;
    assert_eq!(listed, (0..NAMES).map(|number| (format!("n{number:05}"), size_bytes)).collect::<Vec<_>>());
}

/// "The groups of a space that hold at least one object, each once."
pub async fn groups_are_listed_while_they_hold_something(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    assert!(groups(&*storage, Space::Entities).await.is_empty());
    let mut names: Vec<ObjectName> = Vec::new();
    for group in ["", "%41", "-a", "a", "a-b", "a.b", "ab", "z"] {
        names.extend(["x", "y"].map(|text| name(Space::Entities, group, text)));
    }
    for name in &names {
        storage.put(name, &small(1), &Expect::Anything).await.unwrap();
    }
    while let Some(name) = names.pop() {
        let expected: BTreeSet<_> = names.iter().chain([&name]).map(|name| name.group.clone()).collect();
        assert_eq!(groups(&*storage, Space::Entities).await, expected.into_iter().collect::<Vec<_>>());
        storage.delete(&name, &Expect::Anything).await.unwrap();
    }
    assert!(groups(&*storage, Space::Entities).await.is_empty());
    assert!(groups(&*storage, Space::History).await.is_empty());
}

async fn groups(storage: &dyn Storage, space: Space) -> Vec<Group> {
    let mut groups = storage.groups(space).await.unwrap();
    groups.sort();
    groups
}

/// "Moves a damaged object out of the way … the name is free afterwards."
pub async fn quarantine_frees_the_name(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    storage.put(&entity("other"), &small(1), &Expect::Anything).await.unwrap();
    for seed in 0..3 {
        storage.put(&entity("a"), &small(seed), &Expect::Absent).await.unwrap();
        storage.quarantine(&entity("a")).await.unwrap();
        assert_eq!(image(&*storage, &entity("a")).await, None);
        let names: Vec<_> = listed(&*storage, Space::Entities, GROUP).await.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["other"]);
    }
    for space in Space::ALL {
        let expected = if space == Space::Entities { vec![Group::new(GROUP)] } else { Vec::new() };
        assert_eq!(groups(&*storage, space).await, expected, "what is put aside is in no space");
    }
}

/// "No object is changed; a second time only what is foreign is left."
pub async fn tidying_changes_no_object(fixture: &impl Fixture) {
    let storage = fixture.open().await;
    let names: Vec<_> = (0..50).map(|number| entity(&format!("n{number}"))).collect();
    for (number, name) in names.iter().enumerate() {
        storage.put(name, &small(number as u64), &Expect::Absent).await.unwrap();
    }
    for _ in 0..2 {
        let strays: Vec<_> = storage.tidy().try_collect().await.unwrap();
        assert!(strays.iter().all(|stray| stray.kind != StrayKind::Foreign), "{strays:?}");
        for (number, name) in names.iter().enumerate() {
            let expected = small(number as u64).bytes().len();
            assert_eq!(image(&*storage, name).await.map(|image| image.len()), Some(expected));
        }
    }
    let strays: Vec<_> = storage.tidy().try_collect().await.unwrap();
    assert_eq!(strays, []);
    assert_eq!(listed(&*storage, Space::Entities, GROUP).await.len(), names.len());
}
