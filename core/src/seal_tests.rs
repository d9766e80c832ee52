//! DDB1 against vectors that another program made, and against every way to damage them.

use super::*;
use crate::address::NameMode;
use crate::keyring::{KeyState, StoreId};
use crate::keys::{MasterKey, Secret};
use crate::name::{DatabaseName, EntityKey, KeyId};
use data_encoding::HEXLOWER;
use serde_json::Value;

struct Vector {
    title: String,
    id: EntityId,
    path: String,
    image: Vec<u8>,
    meta: Meta,
    document: Document,
    writer: WriterId,
    nonce: [u8; 32],
}

struct Vectors {
    store: StoreId,
    name_key: Secret<64>,
    all: Vec<Vector>,
    plain_paths: Vec<(EntityId, String)>,
}

fn hex<const N: usize>(value: &Value) -> [u8; N] {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap().try_into().unwrap()
}

fn id(database: &str, key: &str) -> EntityId {
    EntityId::new(DatabaseName::parse(database).unwrap(), EntityKey::parse(key).unwrap())
}

fn vectors() -> Vectors {
    let json: Value = serde_json::from_str(include_str!("../../tests/formats/ddb1-vectors.json")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = json["objects"].as_array().unwrap().iter().map(|object| {
        let schema = object["schema"].as_str().unwrap();
        let number = |field: &str| object[field].as_u64().unwrap();
        Vector {
            title: text(&object["title"]),
            id: id(object["database"].as_str().unwrap(), object["key"].as_str().unwrap()),
            path: text(&object["path"]),
            image: HEXLOWER.decode(object["object"].as_str().unwrap().as_bytes()).unwrap(),
            meta: Meta {
                version: number("version"),
                created: Timestamp(number("created")),
                updated: Timestamp(number("updated")),
                expires: object["expires"].as_u64().map(Timestamp),
                schema: (!schema.is_empty())
                    .then(|| (SchemaId::parse(schema).unwrap(), u32::try_from(number("schema_version")).unwrap())),
                write_id: WriteId(hex(&object["write_id"])),
                tombstone: object["tombstone"] == true,
            },
            document: Document::trusted(text(&object["body"]).into()),
            writer: WriterId::parse(object["writer"].as_str().unwrap()).unwrap(),
            nonce: hex(&object["nonce"]),
        }
    });
    let plain = json["plain_paths"].as_object().unwrap().iter().map(|(pair, path)| {
        let (database, key) = pair.split_once('|').unwrap();
        (id(database, key), text(path))
    });
    Vectors {
        store: StoreId(hex(&json["store_id"])),
        name_key: Secret::new(hex(&json["name_key"])),
        all: all.collect(),
        plain_paths: plain.collect(),
    }
}

fn master(id: &str) -> MasterKey {
    let json: Value = serde_json::from_str(include_str!("../../tests/formats/ddb1-vectors.json")).unwrap();
    MasterKey { id: KeyId::parse(id).unwrap(), key: Secret::new(hex(&json["master"][id])) }
}

fn sealer_of(store: StoreId, name_key: &Secret<64>, master: &MasterKey) -> Sealer {
    let names = Arc::new(Names::new(store, name_key, NameMode::Sealed).unwrap());
    let root = Root::new(store, master, KeyId::parse("main-key-v1").unwrap(), KeyState::Active);
    let keyring = Arc::new(Keyring::new(store, vec![root]).unwrap());
    Sealer::new(keyring, names, WriterId::parse("proc-1").unwrap())
}

fn sealer(vectors: &Vectors) -> Sealer {
    sealer_of(vectors.store, &vectors.name_key, &master("main-key-v1"))
}

fn with_checksum(mut image: Vec<u8>) -> Vec<u8> {
    let at = image.len() - 4;
    let checksum = crc32c::crc32c(&image[..at]);
    image[at..].copy_from_slice(&checksum.to_le_bytes());
    image
}

#[test]
fn every_vector_is_reproduced_byte_for_byte() {
    let vectors = vectors();
    let sealer = sealer(&vectors);
    assert_eq!(vectors.all.len(), 6);
    for v in &vectors.all {
        let address = sealer.names().entity(&v.id);
        let active = sealer.keyring().active();
        let sealed = seal_with(&active, &v.id, &address, &v.document, &v.meta, &v.writer, v.nonce).unwrap();
        assert_eq!(HEXLOWER.encode(sealed.bytes()), HEXLOWER.encode(&v.image), "{}", v.title);
        let ObjectPath(path) = path(&address);
        assert_eq!(path, v.path, "{}", v.title);
    }
}

struct ObjectPath(String);

fn path(address: &Address) -> ObjectPath {
    let name = &address.object;
    ObjectPath(match name.shard() {
        Some(shard) => format!("files/{}/{shard}/{}.json.enc", name.group.as_str(), name.name),
        None => format!("files/{}_{}.json.enc", name.group.as_str(), name.name),
    })
}

#[test]
fn every_plain_path_is_reproduced_and_read_back() {
    let vectors = vectors();
    let names = Names::new(vectors.store, &vectors.name_key, NameMode::Plain).unwrap();
    assert_eq!(vectors.plain_paths.len(), 5);
    for (id, want) in &vectors.plain_paths {
        let address = names.entity(id);
        assert_eq!(path(&address).0, *want);
        let found = names.open_object_name(&address.object.group, &address.object.name).unwrap().unwrap();
        assert_eq!(found, *id);
    }
}

#[test]
fn every_vector_opens() {
    let vectors = vectors();
    let sealer = sealer(&vectors);
    for v in &vectors.all {
        let opened = sealer.open(&v.id, &sealer.names().entity(&v.id), &v.image).unwrap();
        assert_eq!(opened.meta, v.meta, "{}", v.title);
        let document = (!v.meta.tombstone).then_some(v.document.clone());
        assert_eq!(opened.document, document, "{}", v.title);
        assert_eq!(sealer.open_anywhere(&v.image).unwrap().0, v.id);
        assert_eq!(peek(&v.image).unwrap(), v.meta);
    }
}

#[test]
fn every_bit_flip_is_damage() {
    let vectors = vectors();
    let sealer = sealer(&vectors);
    for v in &vectors.all {
        let address = sealer.names().entity(&v.id);
        for bit in 0..v.image.len() * 8 {
            let mut image = v.image.clone();
            image[bit / 8] ^= 1 << (bit % 8);
            let error = sealer.open(&v.id, &address, &image).unwrap_err();
            assert_eq!((error.kind(), error.code()), (crate::ErrorKind::Damaged, "damaged"), "{} {bit}", v.title);
        }
    }
}

/// A forger can fix the checksum: what he changed must be refused by what is behind it.
#[test]
fn every_bit_flip_with_a_right_checksum_is_refused_by_the_seal() {
    let vectors = vectors();
    let sealer = sealer(&vectors);
    for v in &vectors.all {
        let address = sealer.names().entity(&v.id);
        let header = usize::from(u16::from_le_bytes([v.image[8], v.image[9]]));
        for bit in 0..(v.image.len() - 4) * 8 {
            let mut image = v.image.clone();
            image[bit / 8] ^= 1 << (bit % 8);
            let error = sealer.open(&v.id, &address, &with_checksum(image)).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Damaged, "{} {bit}", v.title);
            let in_body = bit / 8 >= header + 32;
            let in_commitment = !in_body && bit / 8 >= header;
            let in_times = (16..48).contains(&(bit / 8));
            match error.code() {
                "wrong_key" => assert!(!in_body, "{} {bit}", v.title),
                "damaged" => assert!(!in_commitment && !in_times, "{} {bit}", v.title),
                "unknown_format" | "unknown_key" | "misplaced" => assert!(!in_body && !in_commitment && !in_times),
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn every_truncation_and_extension_is_damage() {
    let vectors = vectors();
    let sealer = sealer(&vectors);
    for v in &vectors.all {
        let address = sealer.names().entity(&v.id);
        for length in 0..v.image.len() {
            let error = sealer.open(&v.id, &address, &v.image[..length]).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Damaged, "{} {length}", v.title);
            if length >= 4 {
                assert!(sealer.open(&v.id, &address, &with_checksum(v.image[..length].to_vec())).is_err());
            }
        }
        for extra in 1..9 {
            let image = [v.image.as_slice(), &vec![0; extra]].concat();
            assert!(sealer.open(&v.id, &address, &image).is_err());
            assert!(sealer.open(&v.id, &address, &with_checksum(image)).is_err());
        }
    }
}

#[test]
fn an_object_opens_only_where_it_belongs() {
    let vectors = vectors();
    let ours = sealer(&vectors);
    let v = &vectors.all[0];
    for other in [id("chatdb", "Chat_ie"), id("chatdc", "Chat_id"), id("chatd", "b.Chat_id")] {
        let error = ours.open(&other, &ours.names().entity(&other), &v.image).unwrap_err();
        assert_eq!((error.kind(), error.code()), (crate::ErrorKind::Damaged, "misplaced"));
        // Even a caller that mixes up names and ids gets nothing: the database is part of the key.
        let mixed = ours.open(&other, &ours.names().entity(&v.id), &v.image);
        assert!(mixed.is_err() || other.database == v.id.database);
    }
    let other_store = sealer_of(StoreId([1; 16]), &vectors.name_key, &master("main-key-v1"));
    let error = other_store.open(&v.id, &other_store.names().entity(&v.id), &v.image).unwrap_err();
    assert_eq!(error.code(), "misplaced");
    let other_key = sealer_of(vectors.store, &vectors.name_key, &master("main-key-v2"));
    let error = other_key.open(&v.id, &other_key.names().entity(&v.id), &v.image).unwrap_err();
    assert_eq!(error.code(), "wrong_key");
}

#[test]
fn what_is_sealed_and_opened_is_counted_and_so_is_what_does_not_open() {
    let vectors = vectors();
    let (sealer, v) = (sealer(&vectors), &vectors.all[0]);
    let address = sealer.names().entity(&v.id);
    let sealed = sealer.seal(&v.id, &address, &v.document, &v.meta).unwrap();
    sealer.open(&v.id, &address, sealed.bytes()).unwrap();
    sealer.open_anywhere(sealed.bytes()).unwrap();
    sealer.open(&v.id, &address, &v.image[1..]).unwrap_err();
    sealer.open_anywhere(b"").unwrap_err();
    let expected = SealStats { sealed: 1, seal_failures: 0, opened: 2, open_failures: 2 };
    assert_eq!(sealer.stats(), expected);
}

#[test]
fn a_body_opens_only_under_its_own_version() {
    let vectors = vectors();
    let sealer = sealer(&vectors);
    let v = &vectors.all[0];
    let address = sealer.names().entity(&v.id);
    let seal = |version| {
        let meta = Meta { version, ..v.meta.clone() };
        sealer.seal(&v.id, &address, &v.document, &meta).unwrap().bytes().to_vec()
    };
    let (mut third, fourth) = (seal(3), seal(4));
    let body = usize::from(u16::from_le_bytes([third[8], third[9]]));
    assert_eq!(third.len(), fourth.len());
    third[body..].copy_from_slice(&fourth[body..]);
    assert_eq!(sealer.open(&v.id, &address, &with_checksum(third)).unwrap_err().code(), "wrong_key");
}

#[test]
fn sealing_twice_shares_nothing() {
    let vectors = vectors();
    let sealer = sealer(&vectors);
    let v = &vectors.all[0];
    let address = sealer.names().entity(&v.id);
    let [a, b] = [0, 1].map(|_| sealer.seal(&v.id, &address, &v.document, &v.meta).unwrap());
    let body = usize::from(u16::from_le_bytes([a.bytes()[8], a.bytes()[9]]));
    assert_ne!(a.bytes()[body..body + 32], b.bytes()[body..body + 32]);
    assert_ne!(a.bytes()[body + 32..], b.bytes()[body + 32..]);
}

#[test]
fn a_sidecar_says_what_the_header_says_and_no_more() {
    let vectors = vectors();
    let sealed_names = sealer(&vectors).names().clone();
    let plain_names = Names::new(vectors.store, &vectors.name_key, NameMode::Plain).unwrap();
    for v in &vectors.all {
        let render = |names: &Names, image: &[u8]| sidecar(&names.entity(&v.id).object, image);
        let Some(rendered) = render(&sealed_names, &v.image) else {
            assert!(v.meta.tombstone, "{}", v.title);
            continue;
        };
        let json: Value = serde_json::from_slice(&rendered).unwrap();
        let tag = v.image.len() - 20..v.image.len() - 4;
        let mut wanted = serde_json::json!({
            "key_id": "main-key-v1",
            "alg": "AES-GCM",
            "iv": data_encoding::BASE64.encode(&v.nonce[20..]),
            "tag": data_encoding::BASE64.encode(&v.image[tag]),
            "version": v.meta.version,
            "writer_id": v.writer.as_str(),
            "created_at": v.meta.created.to_string(),
            "updated_at": v.meta.updated.to_string(),
            "size": v.image.len(),
            "etag": v.meta.etag().to_text(),
        });
        if let Some((schema, version)) = &v.meta.schema {
            wanted["schema_id"] = schema.as_str().into();
            wanted["schema_version"] = (*version).into();
        }
        assert_eq!(json, wanted, "{}", v.title);
        wanted["database"] = v.id.database.as_str().into();
        let plain: Value = serde_json::from_slice(&render(&plain_names, &v.image).unwrap()).unwrap();
        assert_eq!(plain, wanted, "{}", v.title);
    }
}

#[test]
fn what_is_no_object_has_no_sidecar() {
    let vectors = vectors();
    let v = &vectors.all[0];
    let name = sealer(&vectors).names().entity(&v.id).object;
    assert!(sidecar(&name, &v.image).is_some());
    assert!(sidecar(&name, &v.image[1..]).is_none());
    assert!(sidecar(&name, b"{}").is_none());
    let records = sealer(&vectors).names().internal(crate::storage::Space::Databases, &v.id.key).1;
    let json = String::from_utf8(sidecar(&records.object, &v.image).unwrap()).unwrap();
    assert!(!json.contains("database"), "{json}");
}
