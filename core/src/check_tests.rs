//! Every kind of damage is found where it is, and nothing else is.

use std::collections::BTreeMap;

use super::*;
use crate::address::{Names, schema_name};
use crate::builtin::memory::MemoryStorage;
use crate::conformance::{self, id, meta, sealed, sealer};
use crate::keyring::{KeyState, Keyring, Root, StoreId};
use crate::keys::{MasterKey, Secret};
use crate::name::{EntityKey, KeyId, WriterId};
use crate::storage::Expect;

fn plain_sealer() -> Arc<Sealer> {
    let key = MasterKey { id: KeyId::parse("other-key").unwrap(), key: Secret::new([3; 32]) };
    let root = Root::new(StoreId([1; 16]), &key, key.id.clone(), KeyState::Active);
    let keyring = Arc::new(Keyring::new(StoreId([1; 16]), vec![root]).unwrap());
    let names = Names::new(StoreId([1; 16]), &Secret::new([2; 64]), NameMode::Plain).unwrap();
    Arc::new(Sealer::new(keyring, Arc::new(names), WriterId::parse("test").unwrap()))
}

async fn put(storage: &MemoryStorage, name: &ObjectName, object: &Object) {
    storage.put(name, object, &Expect::Anything).await.unwrap();
}

fn schema_named(name: &str) -> ObjectName {
    ObjectName { sealed: false, ..conformance::name(Space::Templates, "", name) }
}

fn image(bytes: &[u8]) -> Object {
    conformance::public(bytes.to_vec())
}

/// What is wrong, by entity or by name; what is whole must be the very image.
async fn findings(storage: &Arc<MemoryStorage>, sealer: &Arc<Sealer>) -> BTreeMap<String, String> {
    let check = Check::new(storage.clone(), sealer.clone());
    let (mut found, mut seen) = (BTreeMap::new(), 0);
    for space in SPACES {
        let mut checked = check.space(space);
        while let Some(checked) = checked.try_next().await.unwrap() {
            seen += 1;
            let whose = match &checked.entity {
                Some(id) => format!("{} {}", id.database, id.key),
                None => checked.name.to_string(),
            };
            match checked.found {
                Ok(object) => {
                    assert_eq!(storage.get(&checked.name).await.unwrap().unwrap().bytes, object.bytes());
                }
                Err(error) => _ = found.insert(whose, format!("{}: {error}", error.code())),
            }
        }
    }
    assert_eq!(check.count().await.unwrap(), seen);
    found
}

#[tokio::test]
async fn a_whole_store_has_no_findings() {
    for sealer in [sealer(), plain_sealer()] {
        let storage = Arc::new(MemoryStorage::new());
        for at in 0..200 {
            let id = id(&format!("db_{}", at % 3), &format!("k {at}{}", "x".repeat(at * 2)));
            let name = sealer.names().entity(&id).object;
            put(&storage, &name, &sealed(&sealer, &id, at as u64 + 1)).await;
            let earlier = ObjectName { space: Space::History, name: format!("{}@{at}", name.name).into(), ..name };
            put(&storage, &earlier, &sealed(&sealer, &id, at as u64)).await;
        }
        for space in [Space::Auth, Space::Databases] {
            let (id, address) = sealer.names().internal(space, &EntityKey::parse("key.1").unwrap());
            let object = sealer.seal(&id, &address, &Document::trusted("{}".into()), &meta(1)).unwrap();
            put(&storage, &address.object, &Object::Sealed(object)).await;
        }
        let schema = crate::name::SchemaId::parse("chat.v1").unwrap();
        put(&storage, &schema_name(&schema, None), &image(b"{\"type\": \"object\"}")).await;
        put(&storage, &schema_name(&schema, Some(1)), &image(b"true")).await;
        assert_eq!(findings(&storage, &sealer).await, BTreeMap::new());
    }
}

#[tokio::test]
async fn every_kind_of_damage_is_found_where_it_is() {
    let storage = Arc::new(MemoryStorage::new());
    let sealer = sealer();
    let long = "x".repeat(300);
    for key in ["whole", "flipped", "short", "empty", "other", &long] {
        let id = id("db", key);
        put(&storage, &sealer.names().entity(&id).object, &sealed(&sealer, &id, 1)).await;
    }
    let name = |key: &str| sealer.names().entity(&id("db", key)).object;
    for key in ["flipped", &long] {
        let mut bytes = storage.get(&name(key)).await.unwrap().unwrap().bytes.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        put(&storage, &name(key), &image(&bytes)).await;
    }
    let whole = storage.get(&name("whole")).await.unwrap().unwrap().bytes;
    put(&storage, &name("short"), &image(&whole[..40])).await;
    put(&storage, &name("empty"), &image(b"")).await;
    put(&storage, &name("swapped"), &image(&whole)).await;
    let elsewhere = ObjectName { group: Group::new("00000000"), ..name("whole") };
    put(&storage, &elsewhere, &image(&whole)).await;
    put(&storage, &conformance::name(Space::Auth, "", &name("whole").name), &image(&whole)).await;
    let earlier =
        ObjectName { space: Space::History, name: format!("{}@2", name("whole").name).into(), ..name("whole") };
    put(&storage, &earlier, &image(&whole)).await;
    put(&storage, &schema_named("chat"), &image(b"{\"type\": ")).await;
    put(&storage, &schema_named("chat@01"), &image(b"{}")).await;
    put(&storage, &schema_named(".chat"), &image(b"{}")).await;

    let misplaced = "misplaced: an object lies where another one belongs".to_owned();
    let expected = BTreeMap::from([
        ("db flipped".into(), "damaged: an object does not pass its checksum".into()),
        (format!("db {long}"), "damaged: an object does not pass its checksum".into()),
        ("db short".into(), "damaged: an object does not pass its checksum".into()),
        ("db empty".into(), "damaged: an object is shorter than its header says".into()),
        ("db swapped".into(), misplaced.clone()),
        (elsewhere.to_string(), misplaced.clone()),
        (format!("_auth/{}", name("whole").name), misplaced.clone()),
        ("db whole".into(), misplaced),
        ("templates/chat".into(), "damaged".into()),
        ("templates/chat@01".into(), "misplaced: this is not the name of a schema".into()),
        ("templates/.chat".into(), "misplaced: this is not the name of a schema".into()),
    ]);
    let mut found = findings(&storage, &sealer).await;
    // The words of the parser are its own.
    let schema = found.get_mut("templates/chat").unwrap();
    schema.truncate("damaged".len());
    assert_eq!(found, expected);
}

#[tokio::test]
async fn an_object_under_a_key_that_is_not_here_may_be_whole() {
    let storage = Arc::new(MemoryStorage::new());
    let (theirs, ours) = (plain_sealer(), sealer());
    let id = id("db", "k");
    put(&storage, &ours.names().entity(&id).object, &sealed(&theirs, &id, 1)).await;
    let checked = Check::new(storage.clone(), ours.clone()).object(ours.names().entity(&id).object).await;
    let error = checked.found.unwrap_err();
    assert!(error.code() == "unknown_key" && may_be_whole(&error), "{error:?}");
    assert!(may_be_whole(&Error::unavailable("the disk")));
    assert!(!may_be_whole(&Error::damaged("it")));
    assert!(!may_be_whole(&Error::damaged("it").with_code("misplaced")));
}
