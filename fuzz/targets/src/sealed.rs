//! What lies in a storage or comes back from a client under a seal: anything but the very bytes that were sealed is
//! refused.

use std::sync::{Arc, LazyLock};

use delta_core::address::{Address, NameMode, Names};
use delta_core::builtin::memory::MemoryStorage;
use delta_core::clock::Timestamp;
use delta_core::cursor::{Cursor, Cursors};
use delta_core::document::{DEPTH_MAX, Document};
use delta_core::keyring::{KeyState, Keyring, Root, StoreId};
use delta_core::keys::{MasterKey, Secret};
use delta_core::name::{DatabaseName, EntityId, EntityKey, KeyId, SchemaId, WriterId};
use delta_core::seal::{self, Meta, Sealed, Sealer, WriteId};
use delta_core::storage::Group;
use delta_core::superblock::{self, Superblock};
use futures::FutureExt;

use crate::{edited, two};

fn master() -> MasterKey {
    MasterKey { id: KeyId::parse("fuzz-key").expect("a key id"), key: Secret::new([7; 32]) }
}

fn names_of(mode: NameMode) -> Names {
    Names::new(StoreId([9; 16]), &Secret::new([5; 64]), mode).expect("names")
}

fn id(database: &str, key: &str) -> EntityId {
    EntityId::new(DatabaseName::parse(database).expect("a name"), EntityKey::parse(key).expect("a key"))
}

/// A sealer, an entity's place, and genuine objects of several shapes that lie there.
struct Genuine {
    sealer: Sealer,
    id: EntityId,
    address: Address,
    images: Vec<Sealed>,
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let root = Root::new(StoreId([9; 16]), &master(), master().id, KeyState::Active);
    let keyring = Keyring::new(StoreId([9; 16]), vec![root]).expect("a keyring");
    let names = Arc::new(names_of(NameMode::Sealed));
    let id = id("chat", "message:1");
    let address = names.entity(&id);
    let sealer = Sealer::new(Arc::new(keyring), names, WriterId::parse("fuzz").expect("a writer"));
    let shapes = [("{\"a\":[1,2,3]}", None, false), ("7", Some("chat.v1"), false), ("null", None, true)];
    let images = shapes.map(|(text, schema, tombstone)| {
        let meta = Meta {
            version: 3,
            created: Timestamp(1_000_000),
            updated: Timestamp(2_000_000),
            expires: schema.map(|_| Timestamp(3_000_000)),
            schema: schema.map(|id| (SchemaId::parse(id).expect("a schema id"), 4)),
            write_id: WriteId([1; 16]),
            tombstone,
        };
        let document = Document::parse(text.as_bytes(), DEPTH_MAX).expect("a document");
        sealer.seal(&id, &address, &document, &meta).expect("a seal")
    });
    Genuine { id, address, images: images.into(), sealer }
});

/// Bytes that were not sealed here never open, whatever was changed and even where the checksum fits.
pub fn codec(data: &[u8]) {
    let Genuine { sealer, id, address, images } = &*GENUINE;
    // Anything at all: no header may lead astray.
    drop((seal::peek(data), seal::peek_name(data).map(<[u8]>::len), seal::write_id_of(data)));
    let framed = framed(data);
    for image in [data, &framed] {
        let sealed = Sealed::from_image(image.to_vec().into());
        assert!(sealer.open(id, address, image).is_err(), "bytes that nobody sealed open");
        assert!(sealer.open_anywhere(image).is_err(), "bytes that nobody sealed open");
        if let Ok(sealed) = sealed {
            drop((seal::peek(sealed.bytes()), seal::write_id_of(sealed.bytes())));
        }
    }
    // A genuine object, changed.
    let Some((choice, edits)) = data.split_first() else { return };
    let Some(genuine) = images.get(usize::from(*choice) % images.len()) else { return };
    let changed = edited(genuine.bytes(), edits);
    let cut = changed.len().saturating_sub(4);
    let repaired = with_checksum(changed.get(..cut).unwrap_or_default());
    for image in [&changed, &repaired] {
        let is_genuine = image == genuine.bytes();
        assert_eq!(sealer.open(id, address, image).is_ok(), is_genuine, "a changed object opens");
        assert_eq!(sealer.open_anywhere(image).is_ok(), is_genuine, "a changed object opens");
    }
}

/// The same bytes with what a random image would never get right: the magic and the checksum.
fn framed(data: &[u8]) -> Vec<u8> {
    with_checksum(&[b"DDB1\x01\x01", data].concat())
}

fn with_checksum(content: &[u8]) -> Vec<u8> {
    [content, &crc32c::crc32c(content).to_le_bytes()].concat()
}

static SUPERBLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let storage = MemoryStorage::new();
    let superblock = Superblock::create(NameMode::Sealed, &master()).expect("a superblock");
    let written = superblock.write(&storage).now_or_never().expect("memory does not wait");
    written.expect("a written superblock");
    let read = superblock::read(&storage).now_or_never().expect("memory does not wait");
    let (_, bytes) = read.expect("a read superblock").expect("the superblock");
    bytes.to_vec()
});

/// A superblock opens only as it was written.
pub fn superblock(data: &[u8]) {
    let genuine = &*SUPERBLOCK;
    drop((Superblock::open(data, &[]), Superblock::open(data, &[master()])));
    let changed = edited(genuine, data);
    assert_eq!(Superblock::open(&changed, &[master()]).is_ok(), changed == *genuine, "a changed superblock opens");
    if let Some(place) = data.first() {
        let at = usize::from(*place).min(genuine.len());
        let inserted = [genuine.get(..at), data.get(1..), genuine.get(at..)].map(Option::unwrap_or_default).concat();
        let same = inserted == *genuine;
        assert_eq!(Superblock::open(&inserted, &[master()]).is_ok(), same, "a changed superblock opens");
    }
}

/// A name at rest opens only if this store gives exactly that name to what it stands for.
pub fn names(data: &[u8]) {
    let (group, name) = two(data);
    let (Ok(group), Ok(name)) = (std::str::from_utf8(group), std::str::from_utf8(name)) else { return };
    for mode in [NameMode::Sealed, NameMode::Plain] {
        let names = names_of(mode);
        drop(names.open(data));
        if let Ok(Some(id)) = names.open_object_name(&Group::new(group), name) {
            let object = names.entity(&id).object;
            assert_eq!(&*object.name, name, "two names stand for one entity");
            assert!(mode == NameMode::Sealed || object.group.as_str() == group, "two groups hold one database");
        }
        let (Ok(database), Ok(key)) = (DatabaseName::parse(group), EntityKey::parse(name)) else { continue };
        let id = EntityId::new(database, key);
        let address = names.entity(&id);
        assert_eq!(names.open(&address.sealed_name).expect("a sealed name opens"), id);
        match names.open_object_name(&address.object.group, &address.object.name).expect("a name of ours opens") {
            Some(opened) => assert_eq!(opened, id),
            None => assert!(mode == NameMode::Sealed && group.len() + name.len() > 124, "a short name does not open"),
        }
    }
}

/// A cursor opens only for the database and prefix it was made for, and only unchanged.
pub fn cursor(data: &[u8]) {
    let cursors = Cursors::new(Secret::new([3; 64]));
    let (text, rest) = two(data);
    let (prefix, edits) = two(rest);
    let prefix = String::from_utf8_lossy(prefix);
    let (database, other) = (id("chat", "k").database, id("chat2", "k").database);
    if let Some(cursor) = std::str::from_utf8(text).ok().and_then(|text| text.parse::<Cursor>().ok()) {
        // A fuzzer watches comparisons, and so can learn a tag; but then it found the cursor of that key.
        if let Ok(key) = cursors.open(&database, &prefix, &cursor) {
            assert_eq!(cursors.seal(&database, &prefix, &key), cursor, "a cursor that nobody gave opens");
        }
    }
    let Some(key) = std::str::from_utf8(text).ok().and_then(|text| EntityKey::parse(text).ok()) else { return };
    let genuine = cursors.seal(&database, &prefix, &key);
    let opened = cursors.open(&database, &prefix, &genuine).expect("a cursor of ours opens");
    assert_eq!(opened, key);
    assert!(cursors.open(&other, &prefix, &genuine).is_err(), "a cursor opens for another database");
    assert!(cursors.open(&database, &format!("{prefix}x"), &genuine).is_err(), "a cursor opens for another prefix");
    let changed = edited(genuine.as_str().as_bytes(), edits);
    let changed = String::from_utf8(changed).ok().and_then(|text| text.parse::<Cursor>().ok());
    if let Some(changed) = changed.filter(|changed| *changed != genuine) {
        assert!(cursors.open(&database, &prefix, &changed).is_err(), "a changed cursor opens");
    }
}
