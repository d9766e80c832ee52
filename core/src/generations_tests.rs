//! Which of several superblocks count, and which are certain to be damaged.

use super::*;
use crate::address::NameMode;
use crate::builtin::memory::MemoryStorage;
use crate::conformance::public;
use crate::name::KeyId;
use crate::storage::Expect;

fn master(id: &str, byte: u8) -> MasterKey {
    MasterKey { id: KeyId::parse(id).unwrap(), key: crate::keys::Secret::new([byte; 32]) }
}

/// A store whose key was replaced once, and the keys.
async fn store() -> (MemoryStorage, [MasterKey; 2]) {
    let storage = MemoryStorage::new();
    let masters = [master("main-key-v1", 1), master("main-key-v2", 2)];
    let first = Superblock::create(NameMode::Sealed, &masters[0]).unwrap();
    first.write(&storage).await.unwrap();
    first.adopt(&masters[1], &masters).unwrap().write(&storage).await.unwrap();
    (storage, masters)
}

async fn replace(storage: &MemoryStorage, number: u64, image: &[u8]) {
    storage.put(&superblock_name(number), &public(image.to_vec()), &Expect::Anything).await.unwrap();
}

async fn codes(storage: &MemoryStorage, masters: &[MasterKey]) -> Vec<(u64, String, bool)> {
    let generations = read(storage, masters).await.unwrap();
    let code = |found: &Generation| match &found.opened {
        Ok(superblock) => {
            assert_eq!(superblock.generation, found.number);
            String::from("whole")
        }
        Err(error) => error.code().to_owned(),
    };
    generations.iter().map(|found| (found.number, code(found), found.is_damaged())).collect()
}

fn expected(of: [(u64, &str, bool); 2]) -> Vec<(u64, String, bool)> {
    of.map(|(number, code, damaged)| (number, code.to_owned(), damaged)).into()
}

#[tokio::test]
async fn the_newest_comes_first_and_a_missing_key_is_no_damage() {
    let (storage, masters) = store().await;
    assert_eq!(codes(&storage, &masters).await, expected([(2, "whole", false), (1, "whole", false)]));
    let old = &masters[..1];
    assert_eq!(codes(&storage, old).await, expected([(2, "wrong_master_key", false), (1, "whole", false)]));
    let new = &masters[1..];
    assert_eq!(
        codes(&storage, new).await,
        expected([(2, "missing_master_key", false), (1, "wrong_master_key", false)])
    );
    assert!(read(&MemoryStorage::new(), &masters).await.unwrap().is_empty());
}

/// With every key at hand, no bit of the newest can flip without being told from a key that is missing.
#[tokio::test]
async fn every_bit_flip_is_certain_damage_beside_a_whole_generation() {
    let (storage, masters) = store().await;
    let image = storage.get(&superblock_name(2)).await.unwrap().unwrap().bytes;
    let line = image.iter().position(|&byte| byte == b'\n').unwrap();
    let text = std::str::from_utf8(&image[..line]).unwrap();
    // What the new key's check value is, no other generation can say.
    let new_key = text.find("main-key-v2").unwrap();
    let unknown = new_key..new_key + text[new_key..].find('}').unwrap();
    for bit in 0..image.len() * 8 {
        let mut flipped = image.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        replace(&storage, 2, &flipped).await;
        let found = &read(&storage, &masters).await.unwrap()[0];
        let code = found.opened.as_ref().unwrap_err().code().to_owned();
        let told = found.is_damaged() || code == "unknown_format" || unknown.contains(&(bit / 8));
        assert!(told, "bit {bit} of byte {}: {code}", bit / 8);
    }
}

/// A repair moves damage aside: what a newer version wrote must not go that way.
#[tokio::test]
async fn a_generation_of_a_newer_version_is_no_damage() {
    let (storage, masters) = store().await;
    let image = storage.get(&superblock_name(2)).await.unwrap().unwrap().bytes;
    let text = std::str::from_utf8(&image).unwrap();
    let newer = text.replacen("\"format\":1", "\"format\":2", 1);
    assert_ne!(newer, text);
    replace(&storage, 2, newer.as_bytes()).await;
    assert_eq!(codes(&storage, &masters).await, expected([(2, "unknown_format", false), (1, "whole", false)]));
}

#[tokio::test]
async fn an_older_generation_in_the_place_of_a_newer_is_damage() {
    let (storage, masters) = store().await;
    let older = storage.get(&superblock_name(1)).await.unwrap().unwrap().bytes;
    replace(&storage, 2, &older).await;
    assert_eq!(codes(&storage, &masters).await, expected([(2, "damaged_superblock", true), (1, "whole", false)]));
}
