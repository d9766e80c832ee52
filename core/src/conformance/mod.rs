//! The contracts as tests: one macro a trait, one named test a sentence of its documentation.
//!
//! A plug-in crate calls the macro in its tests with a fixture that opens it; what passes is a plug-in. Compiled into core
//! so that third parties need nothing else.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "these are tests, compiled into the library for plug-in crates: a panic is a failed test"
)]

pub mod auth;
pub mod entities;
pub mod keys;
pub mod storage;
pub mod validator;

use std::sync::Arc;

use crate::address::{NameMode, Names};
use crate::clock::Timestamp;
use crate::document::Document;
use crate::keyring::{KeyState, Keyring, Root, StoreId};
use crate::keys::{MasterKey, Secret};
use crate::name::{DatabaseName, EntityId, EntityKey, KeyId, WriterId};
use crate::seal::{Meta, Sealer, WriteId};
use crate::storage::{Group, Object, ObjectName, Public, Space};

pub use crate::{
    conformance_auth as auth, conformance_entities as entities, conformance_keys as keys,
    conformance_storage as storage, conformance_validator as validator,
};

/// The names of a store that exists only in tests.
pub fn names() -> Arc<Names> {
    Arc::new(Names::new(StoreId([1; 16]), &Secret::new([2; 64]), NameMode::Sealed).unwrap())
}

/// Seals for a store that exists only in tests.
pub fn sealer() -> Arc<Sealer> {
    let key = MasterKey { id: KeyId::parse("test-key").unwrap(), key: Secret::new([3; 32]) };
    let root = Root::new(StoreId([1; 16]), &key, key.id.clone(), KeyState::Active);
    let keyring = Arc::new(Keyring::new(StoreId([1; 16]), vec![root]).unwrap());
    Arc::new(Sealer::new(keyring, names(), WriterId::parse("test").unwrap()))
}

/// An entity's place.
pub fn id(database: &str, key: &str) -> EntityId {
    EntityId::new(DatabaseName::parse(database).unwrap(), EntityKey::parse(key).unwrap())
}

/// What is said about some version, under a fresh write id.
pub fn meta(version: u64) -> Meta {
    Meta {
        version,
        created: Timestamp(1),
        updated: Timestamp(version),
        expires: None,
        schema: None,
        write_id: WriteId::random().unwrap(),
        tombstone: false,
    }
}

/// A small sealed object for an entity.
pub fn sealed(sealer: &Sealer, id: &EntityId, version: u64) -> Object {
    let document = Document::trusted(format!("{{\"version\":{version}}}").into());
    Object::Sealed(sealer.seal(id, &sealer.names().entity(id), &document, &meta(version)).unwrap())
}

/// A sealed object with a body of a given size, filled from a seed, under a fresh write id.
pub fn object(seed: u64, body_bytes: usize) -> Object {
    let sealer = sealer();
    let id = id("conformance", "object");
    let body: Vec<u8> = (0..body_bytes).map(|at| b'a' + u8::try_from((seed as usize + at) % 26).unwrap()).collect();
    let meta = Meta { version: seed + 1, ..meta(1) };
    Object::Sealed(sealer.seal(&id, &sealer.names().entity(&id), &Document::trusted(body.into()), &meta).unwrap())
}

/// An object that is stored as it is, which outside of tests only the superblock and schemas are.
pub fn public(bytes: Vec<u8>) -> Object {
    Object::Public(Public::new(bytes.into()))
}

/// An object's name in any space and group.
pub fn name(space: Space, group: &str, name: &str) -> ObjectName {
    ObjectName { space, group: Group::new(group), name: name.into(), sealed: true }
}
