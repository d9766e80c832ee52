//! Superblocks against vectors that another program made, and against damage.

use super::*;
use crate::builtin::memory::MemoryStorage;
use crate::conformance;
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../tests/formats/ddb1-vectors.json")).unwrap()
}

fn master(id: &str) -> MasterKey {
    MasterKey::from_hex(KeyId::parse(id).unwrap(), vectors()["master"][id].as_str().unwrap()).unwrap()
}

fn images() -> Vec<Vec<u8>> {
    vectors()["superblock"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().into()).collect()
}

fn both() -> [MasterKey; 2] {
    [master("main-key-v1"), master("main-key-v2")]
}

#[test]
fn both_vectors_open_and_are_reproduced() {
    for (image, first_iv, generation) in [(&images()[0], 0, 1), (&images()[1], 12, 3)] {
        let superblock = Superblock::open(image, &both()).unwrap();
        assert_eq!(superblock.generation, generation);
        assert_eq!(superblock.names, NameMode::Sealed);
        assert_eq!(HEXLOWER.encode(superblock.name_key.expose()), vectors()["name_key"].as_str().unwrap());
        let iv: Vec<u8> = (first_iv..first_iv + 12).collect();
        let bytes = superblock.to_bytes(iv.try_into().unwrap()).unwrap();
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), std::str::from_utf8(image).unwrap());
    }
}

#[test]
fn every_bit_flip_and_truncation_is_refused() {
    for image in images() {
        for bit in 0..image.len() * 8 {
            let mut flipped = image.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = Superblock::open(&flipped, &both()).unwrap_err();
            assert!(
                ["damaged_superblock", "unknown_format", "wrong_master_key", "missing_master_key"]
                    .contains(&error.code()),
                "{bit}: {error:?}"
            );
        }
        for length in 0..image.len() {
            assert_eq!(Superblock::open(&image[..length], &both()).unwrap_err().code(), "damaged_superblock");
        }
    }
}

#[test]
fn a_wrong_or_missing_key_is_told_by_id() {
    let error = Superblock::open(&images()[0], &[]).unwrap_err();
    assert_eq!(error.code(), "missing_master_key");
    assert!(error.to_string().contains("main-key-v1"));
    let error = Superblock::open(&images()[0], &[master("main-key-v2")]).unwrap_err();
    assert_eq!(error.code(), "wrong_master_key");
    assert!(error.to_string().contains("main-key-v1"));
    let error = Superblock::open(&images()[1], &[master("main-key-v2")]).unwrap_err();
    assert_eq!(error.code(), "missing_master_key");
    assert!(error.to_string().contains("--previous-key main-key-v1=HEX"));
}

#[test]
fn a_key_is_recognised_whatever_it_is_called() {
    let mut key = master("main-key-v1");
    key.id = KeyId::parse("another-name").unwrap();
    let superblock = Superblock::open(&images()[0], &[key]).unwrap();
    assert_eq!(superblock.keyring.active().id().as_str(), "main-key-v1");
}

#[tokio::test]
async fn a_new_store_is_written_and_reopened_and_only_once() {
    let storage = MemoryStorage::new();
    assert!(read(&storage).await.unwrap().is_none());
    let key = MasterKey::generate(KeyId::parse("k").unwrap()).unwrap();
    let created = Superblock::create(NameMode::Plain, &key).unwrap();
    created.write(&storage).await.unwrap();
    assert_eq!(created.write(&storage).await.unwrap_err().kind(), ErrorKind::Conflict);
    let (generation, bytes) = read(&storage).await.unwrap().unwrap();
    let opened = Superblock::open(&bytes, &[key]).unwrap();
    assert_eq!((generation, opened.generation, opened.names), (1, 1, NameMode::Plain));
    assert_eq!(opened.keyring.store(), created.keyring.store());
    assert_eq!(opened.name_key.expose(), created.name_key.expose());
}

#[tokio::test]
async fn data_without_a_superblock_is_no_new_store() {
    for space in [Space::Entities, Space::Auth, Space::Databases] {
        let storage = MemoryStorage::new();
        storage.put(&conformance::name(space, "", "a"), &conformance::object(1, 10), &Expect::Absent).await.unwrap();
        let error = read(&storage).await.unwrap_err();
        assert_eq!(error.code(), "damaged_superblock");
        assert!(error.to_string().contains(space.as_str()), "{error}");
    }
}

#[tokio::test]
async fn an_adopted_key_is_active_under_a_free_id_and_the_old_one_still_decrypts() {
    let storage = MemoryStorage::new();
    let old = master("main-key-v1");
    let first = Superblock::create(NameMode::Sealed, &old).unwrap();
    first.write(&storage).await.unwrap();
    let mut new = master("main-key-v2");
    new.id = old.id.clone();
    first.adopt(&new, std::slice::from_ref(&old)).unwrap().write(&storage).await.unwrap();
    let (_, bytes) = read(&storage).await.unwrap().unwrap();
    let second = Superblock::open(&bytes, &[new, old.clone()]).unwrap();
    assert_eq!(second.generation, 2);
    assert_eq!(second.keyring.active().id().as_str(), "main-key-v2");
    assert!(second.keyring.find("main-key-v1").is_some());
    assert_eq!(second.name_key.expose(), first.name_key.expose());
    assert_eq!(Superblock::open(&bytes, &[old]).unwrap_err().code(), "wrong_master_key");
}
