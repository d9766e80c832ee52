//! Where a page of a listing ended: sealed, because it is a key, and keys do not belong in addresses and logs.
//!
//! A cursor is the last key of its page under AES-SIV, bound to the database and prefix it was made for. It names a place
//! in the order of keys and not an entity, so it stays valid whatever is written or deleted meanwhile.

use std::fmt;
use std::str::FromStr;

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use data_encoding::BASE64URL_NOPAD;

use crate::error::{Error, Result};
use crate::keys::Secret;
use crate::name::{DatabaseName, EntityKey};

/// The longest cursor, in bytes: the longest key, sealed.
pub const CURSOR_BYTES_MAX: usize = 1024;

/// Where a page ended, as clients carry it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cursor(String);

impl Cursor {
    /// The cursor as text: letters, digits, `-` and `_`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.is_empty() || text.len() > CURSOR_BYTES_MAX || !text.bytes().all(known) {
            return Err(invalid());
        }
        Ok(Self(text.into()))
    }
}

/// Seals and opens the cursors of one store.
pub struct Cursors(Secret<64>);

impl Cursors {
    /// Cursors under a key of their own.
    pub fn new(key: Secret<64>) -> Self {
        Self(key)
    }

    /// The cursor behind `last` in a listing of the keys that begin with `prefix`.
    pub fn seal(&self, database: &DatabaseName, prefix: &str, last: &EntityKey) -> Cursor {
        #[expect(clippy::expect_used, reason = "three headers of the 126 that RFC 5297 allows, and a short plaintext")]
        let sealed = self.siv().encrypt(headers(database, prefix), last.as_str().as_bytes()).expect("AES-SIV");
        Cursor(BASE64URL_NOPAD.encode(&sealed))
    }

    /// The key that a cursor stands behind; one of another store, database or prefix is refused.
    pub fn open(&self, database: &DatabaseName, prefix: &str, cursor: &Cursor) -> Result<EntityKey> {
        let sealed = BASE64URL_NOPAD.decode(cursor.0.as_bytes()).map_err(|_| invalid())?;
        let plain = self.siv().decrypt(headers(database, prefix), &sealed).map_err(|_| invalid())?;
        std::str::from_utf8(&plain).map_err(|_| invalid())?.parse().map_err(|_| invalid())
    }

    fn siv(&self) -> Aes256Siv {
        Aes256Siv::new(self.0.expose().into())
    }
}

impl fmt::Debug for Cursors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cursors(***)")
    }
}

fn headers<'a>(database: &'a DatabaseName, prefix: &'a str) -> [&'a [u8]; 3] {
    [b"ddb1/cursor", database.as_str().as_bytes(), prefix.as_bytes()]
}

fn invalid() -> Error {
    let message = "this cursor was not given for this database and prefix; begin the listing again without it";
    Error::invalid("invalid_cursor", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cursor_opens_only_where_it_was_given() {
        let cursors = Cursors::new(Secret::new([1; 64]));
        let (db, other) = (DatabaseName::parse("db").unwrap(), DatabaseName::parse("other").unwrap());
        let key = EntityKey::parse("kéy 1").unwrap();
        let cursor = cursors.seal(&db, "k", &key);
        assert!(!cursor.as_str().contains("key") && cursor.as_str().parse::<Cursor>().unwrap() == cursor);
        assert_eq!(cursors.open(&db, "k", &cursor).unwrap(), key);
        for (database, prefix) in [(&other, "k"), (&db, ""), (&db, "kk")] {
            assert_eq!(cursors.open(database, prefix, &cursor).unwrap_err().code(), "invalid_cursor");
        }
        assert!(Cursors::new(Secret::new([2; 64])).open(&db, "k", &cursor).is_err());
        for bad in ["", "a b", "AAAA", "%", &"A".repeat(2000)] {
            let opened = bad.parse::<Cursor>().and_then(|cursor| cursors.open(&db, "k", &cursor));
            assert_eq!(opened.unwrap_err().code(), "invalid_cursor", "{bad}");
        }
    }

    #[test]
    fn the_longest_key_fits() {
        let cursors = Cursors::new(Secret::new([1; 64]));
        let (db, key) = (DatabaseName::parse("db").unwrap(), EntityKey::parse(&"k".repeat(512)).unwrap());
        let text = cursors.seal(&db, "", &key).as_str().to_owned();
        assert_eq!(cursors.open(&db, "", &text.parse().unwrap()).unwrap(), key);
    }

    fn key() -> impl Strategy<Value = EntityKey> {
        "[a-c:]{1,3}|[^/\\\\\\p{C}]{1,80}".prop_filter_map("no key", |text| EntityKey::parse(&text).ok())
    }

    proptest! {
        #[test]
        fn a_cursor_opens_to_what_it_was_made_from_and_nowhere_else(
            [database, other] in ["[ab]{1,2}", "[ab]{1,2}"],
            [prefix, wrong] in ["[ab]{0,2}", "[ab]{0,2}"],
            key in key(),
            place: prop::sample::Index,
            character in "[A-Za-z0-9_-]",
        ) {
            let cursors = Cursors::new(Secret::new([1; 64]));
            let [database, other] = [database, other].map(|name| DatabaseName::parse(&name).unwrap());
            let cursor = cursors.seal(&database, &prefix, &key);
            let same: Cursor = cursor.as_str().parse().unwrap();
            prop_assert_eq!(&cursors.open(&database, &prefix, &same).unwrap(), &key);
            prop_assert_eq!(cursors.open(&other, &prefix, &cursor).is_ok(), database == other);
            prop_assert_eq!(cursors.open(&database, &wrong, &cursor).is_ok(), prefix == wrong);
            let place = place.index(cursor.as_str().len());
            let mut changed = cursor.as_str().to_owned();
            changed.replace_range(place..=place, &character);
            let opened = changed.parse::<Cursor>().and_then(|changed| cursors.open(&database, &prefix, &changed));
            prop_assert_eq!(opened.is_ok(), changed == cursor.as_str());
        }
    }
}
