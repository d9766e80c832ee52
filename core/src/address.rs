//! What a name becomes at rest: opaque unless the operator chose plain names (FORMAT.md, "Names").
//!
//! A sealed name is deterministic, so that an entity is found without a table, and authenticated, so that a listing
//! refuses what it did not make. The surprise: two databases can share a tag; a listing keeps its own.

use std::fmt;

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use data_encoding::{Encoding, Specification};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::sync::LazyLock;

use crate::cursor::Cursors;
use crate::error::{Error, Result};
use crate::keyring::{StoreId, expand};
use crate::keys::Secret;
use crate::name::{DatabaseName, EntityId, EntityKey, SchemaId};
use crate::storage::{Group, ObjectName, Space};

/// Up to this many bytes of database and key, the sealed name can be opened again; longer ones are hashed.
pub const OPENABLE_NAME_BYTES_MAX: usize = 124;

/// How entities are named at rest; chosen when a store is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NameMode {
    /// Database and key are encrypted.
    #[default]
    Sealed,
    /// Database and key can be read in a listing of the storage.
    Plain,
}

/// Where one object lies, and how its header names it.
#[derive(Debug, Clone)]
pub struct Address {
    /// The name in the storage.
    pub object: ObjectName,
    /// `ct`: database and key under AES-SIV, which the header carries in either mode.
    pub sealed_name: Vec<u8>,
}

/// Computes and opens the names of one store.
pub struct Names {
    mode: NameMode,
    store: StoreId,
    siv_key: Secret<64>,
    tag_key: Hmac<Sha256>,
    cursors: Cursors,
}

impl Names {
    /// The names of a store, from its name key.
    pub fn new(store: StoreId, name_key: &Secret<64>, mode: NameMode) -> Result<Self> {
        let key = hkdf::Hkdf::<Sha256>::from_prk(name_key.expose())
            .map_err(|_| Error::internal("the name key is too short"))?;
        let tag_key: Secret<32> = expand(&key, &[b"ddb1/tag"]);
        let tag_key = Hmac::new_from_slice(tag_key.expose()).map_err(|_| Error::internal("no HMAC key"))?;
        let cursors = Cursors::new(expand(&key, &[b"ddb1/cursor"]));
        Ok(Self { mode, store, siv_key: expand(&key, &[b"ddb1/siv"]), tag_key, cursors })
    }

    /// How entities are named at rest.
    pub fn mode(&self) -> NameMode {
        self.mode
    }

    /// Seals the places in listings, which are keys.
    pub fn cursors(&self) -> &Cursors {
        &self.cursors
    }

    /// Where an entity lies.
    pub fn entity(&self, id: &EntityId) -> Address {
        let sealed_name = self.seal(id.database.as_str(), id.key.as_str());
        let group = self.group(&id.database);
        let name = match self.mode {
            NameMode::Sealed => self.sealed_text(id.database.as_str(), id.key.as_str(), &sealed_name),
            NameMode::Plain => escape(id.key.as_str(), false),
        };
        let sealed = self.mode == NameMode::Sealed;
        Address { object: ObjectName { space: Space::Entities, group, name: name.into(), sealed }, sealed_name }
    }

    /// Where an object of the product's own lies, in `_auth` or `_databases`.
    pub fn internal(&self, space: Space, key: &EntityKey) -> (EntityId, Address) {
        let id = EntityId::new(DatabaseName::reserved(space.as_str()), key.clone());
        let sealed_name = self.seal(id.database.as_str(), key.as_str());
        let name = self.sealed_text(id.database.as_str(), key.as_str(), &sealed_name);
        let object = ObjectName { space, group: Group::none(), name: name.into(), sealed: true };
        (id, Address { object, sealed_name })
    }

    /// The group that holds a database's entities; other databases may share it.
    pub fn group(&self, database: &DatabaseName) -> Group {
        match self.mode {
            NameMode::Plain => Group::new(&escape(database.as_str(), true)),
            NameMode::Sealed => {
                let tag = self.mac(&[b"db\0", database.as_str().as_bytes()]);
                Group::new(&BASE32.encode(tag.get(..5).unwrap_or_default()))
            }
        }
    }

    /// The entity that an object's name stands for; `None` where only its header can tell.
    pub fn open_object_name(&self, group: &Group, name: &str) -> Result<Option<EntityId>> {
        match self.mode {
            NameMode::Plain => match (unescape(group.as_str(), true), unescape(name, false)) {
                (Some(database), Some(key)) => Ok(Some(entity_id(&database, &key)?)),
                _ => Err(Error::damaged(format!("{name:?} is not the name of an entity"))),
            },
            NameMode::Sealed if name.starts_with('_') => Ok(None),
            NameMode::Sealed => {
                let sealed = BASE32
                    .decode(name.as_bytes())
                    .map_err(|_| Error::damaged(format!("{name:?} is not the name of an entity")))?;
                self.open(&sealed).map(Some)
            }
        }
    }

    /// The id that the name of an object of the product's own stands for; `None` where only its header can tell.
    pub fn open_internal_name(&self, name: &str) -> Result<Option<EntityId>> {
        if name.starts_with('_') {
            return Ok(None);
        }
        let sealed = BASE32.decode(name.as_bytes());
        let sealed = sealed.map_err(|_| Error::damaged(format!("{name:?} is not the name of a record")))?;
        self.open(&sealed).map(Some)
    }

    /// Opens `ct` of a header.
    pub fn open(&self, sealed_name: &[u8]) -> Result<EntityId> {
        let damaged = || Error::damaged("a name at rest does not open with this store's name key");
        let plain = self.siv().decrypt([b"ddb1/name".as_slice(), &self.store.0], sealed_name).map_err(|_| damaged())?;
        let text = std::str::from_utf8(&plain).map_err(|_| damaged())?;
        let (database, key) = text.split_once('\0').ok_or_else(damaged)?;
        entity_id(database, key)
    }

    fn seal(&self, database: &str, key: &str) -> Vec<u8> {
        let plain = [database.as_bytes(), b"\0", key.as_bytes()].concat();
        #[expect(clippy::expect_used, reason = "two headers of the 126 that RFC 5297 allows, and a short plaintext")]
        self.siv().encrypt([b"ddb1/name".as_slice(), &self.store.0], &plain).expect("AES-SIV takes two headers")
    }

    fn sealed_text(&self, database: &str, key: &str, sealed_name: &[u8]) -> String {
        if database.len() + key.len() <= OPENABLE_NAME_BYTES_MAX {
            return BASE32.encode(sealed_name);
        }
        format!("_{}", BASE32.encode(&self.mac(&[b"long\0", database.as_bytes(), b"\0", key.as_bytes()])))
    }

    fn siv(&self) -> Aes256Siv {
        Aes256Siv::new(self.siv_key.expose().into())
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.tag_key.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Names({:?}, store {}, ***)", self.mode, self.store)
    }
}

/// The current text of a schema, or one of its versions, which never change.
pub fn schema_name(id: &SchemaId, version: Option<u32>) -> ObjectName {
    let name = match version {
        None => id.to_string(),
        Some(version) => format!("{id}@{version}"),
    };
    ObjectName { space: Space::Templates, group: Group::none(), name: name.into(), sealed: false }
}

/// The superblock of one generation.
pub fn superblock_name(generation: u64) -> ObjectName {
    let name = format!("format.{generation:06}").into();
    ObjectName { space: Space::Store, group: Group::none(), name, sealed: false }
}

/// The database of an entity that lies under a plain name; `None` where the name does not tell.
pub(crate) fn plain_database(name: &ObjectName) -> Option<String> {
    let is_plain = name.space == Space::Entities && !name.sealed;
    unescape(name.group.as_str(), true).filter(|_| is_plain)
}

/// An id from text that was sealed: what this product wrote parses, except its own reserved databases.
fn entity_id(database: &str, key: &str) -> Result<EntityId> {
    let parsed = match database.strip_prefix('/') {
        Some(space) => Ok(DatabaseName::reserved(space)),
        None => DatabaseName::parse(database),
    };
    match (parsed, EntityKey::parse(key)) {
        (Ok(database), Ok(key)) => Ok(EntityId::new(database, key)),
        _ => Err(Error::damaged("a name at rest is not one that a client can use")),
    }
}

/// base32hex (RFC 4648, section 7), lower case, without padding.
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str("0123456789abcdefghijklmnopqrstuv");
    #[expect(clippy::expect_used, reason = "a constant alphabet of 32 distinct characters")]
    specification.encoding().expect("a valid base 32 alphabet")
});

/// `%XX` for everything but letters, digits, `-`, `.` and `_`; for a leading dot; and for `_` in a database, so that the
/// first `_` of a plain path separates database and key.
fn escape(text: &str, is_database: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let plain =
            byte.is_ascii_alphanumeric() || byte == b'-' || (byte == b'_' && !is_database) || (byte == b'.' && at > 0);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// What was escaped; `None` for a text that [`escape`] does not write, since a name stands for one entity only.
fn unescape(text: &str, is_database: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok().filter(|unescaped| escape(unescaped, is_database) == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(mode: NameMode) -> Names {
        Names::new(StoreId([7; 16]), &Secret::new([9; 64]), mode).unwrap()
    }

    fn id(database: &str, key: &str) -> EntityId {
        EntityId::new(DatabaseName::parse(database).unwrap(), EntityKey::parse(key).unwrap())
    }

    #[test]
    fn a_database_of_a_client_never_meets_one_of_ours() {
        let names = names(NameMode::Sealed);
        let key = EntityKey::parse("k").unwrap();
        let (own, address) = names.internal(Space::Auth, &key);
        assert_ne!(address.object.name, names.entity(&id("_auth", "k")).object.name);
        assert_eq!(names.open(&address.sealed_name).unwrap(), own);
        assert_eq!(names.open_internal_name(&address.object.name).unwrap(), Some(own));
        assert!(names.open_internal_name("not base32!").is_err());
    }

    #[test]
    fn an_entity_has_one_plain_name() {
        let names = names(NameMode::Plain);
        let open = |group: &str, name: &str| names.open_object_name(&Group::new(group), name);
        assert_eq!(open("my%5Fdb", "%2Ekey%0A").unwrap_err().code(), "damaged");
        assert_eq!(open("my%5Fdb", "%2Ekey_%3A").unwrap(), Some(id("my_db", ".key_:")));
        for (group, name) in
            [("my_db", "k"), ("%61", "k"), ("db", "%3a"), ("db", "%+5"), ("db", "a%2Eb"), ("db", ".k"), ("db", "ä")]
        {
            assert_eq!(open(group, name).unwrap_err().code(), "damaged", "{group} {name}");
        }
    }

    #[test]
    fn a_forged_name_is_refused() {
        let names = names(NameMode::Sealed);
        let mut address = names.entity(&id("db", "k"));
        address.sealed_name[3] ^= 1;
        assert_eq!(names.open(&address.sealed_name).unwrap_err().code(), "damaged");
        assert!(names.open_object_name(&Group::none(), "not base32!").is_err());
        assert!(
            Names::new(StoreId([8; 16]), &Secret::new([9; 64]), NameMode::Sealed)
                .unwrap()
                .open(&names.entity(&id("db", "k")).sealed_name)
                .is_err()
        );
    }

    /// Two names that are often the same in one part.
    fn two_names() -> impl Strategy<Value = [(String, String); 2]> {
        let name = || ("[A-Za-z0-9_-][A-Za-z0-9._-]{0,3}", "[a%_.:ä]{1,4}|[^/\\\\\\p{C}]{1,60}");
        (name(), name(), any::<[bool; 2]>()).prop_map(|(first, second, [one_database, one_key])| {
            let database = if one_database { first.0.clone() } else { second.0 };
            let key = if one_key { first.1.clone() } else { second.1 };
            [first, (database, key)]
        })
    }

    proptest! {
        #[test]
        fn no_two_entities_have_one_name([first, second] in two_names(), plain: bool) {
            prop_assume!(EntityKey::parse(&first.1).is_ok() && EntityKey::parse(&second.1).is_ok());
            let names = names(if plain { NameMode::Plain } else { NameMode::Sealed });
            let [a, b] = [&first, &second].map(|(database, key)| names.entity(&id(database, key)));
            prop_assert_eq!(a.sealed_name == b.sealed_name, first == second);
            let place = |address: &Address| (address.object.group.as_str().to_owned(), address.object.name.clone());
            prop_assert_eq!(place(&a) == place(&b), first == second);
        }

        #[test]
        fn every_name_opens_again(database in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,40}", key in "[^/\\\\\\p{C}]{1,60}", plain: bool) {
            prop_assume!(EntityKey::parse(&key).is_ok());
            let id = id(&database, &key);
            let names = names(if plain { NameMode::Plain } else { NameMode::Sealed });
            let address = names.entity(&id);
            prop_assert_eq!(&names.open(&address.sealed_name).unwrap(), &id);
            if let Some(found) = names.open_object_name(&address.object.group, &address.object.name).unwrap() {
                prop_assert_eq!(found, id);
            } else {
                prop_assert!(database.len() + key.len() > OPENABLE_NAME_BYTES_MAX);
            }
        }
    }
}
