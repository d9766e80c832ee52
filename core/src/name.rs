//! Names that clients and operators give, parsed once at the edge and trusted inside.
//!
//! Each is a shared string of its own type, so that a key can never be passed where a database belongs.
//! What they become at rest is decided in [`crate::address`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The longest database name, schema id, key id and writer id, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// The longest entity key, in bytes of UTF-8.
pub const ENTITY_KEY_BYTES_MAX: usize = 512;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $code:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Parses the name; the error says what is wrong with it.
            pub fn parse(text: &str) -> Result<Self> {
                let check: fn(&str) -> Result<(), String> = $check;
                match check(text) {
                    Ok(()) => Ok(Self(text.into())),
                    Err(reason) => Err(Error::invalid($code, format!(concat!($what, " {}"), reason))),
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                Self::parse(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().into()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(
    /// A database: 1 to 128 of `[A-Za-z0-9._-]`, not starting with a dot.
    DatabaseName, "database name", "invalid_database", plain_name);
name!(
    /// A schema: 1 to 128 of `[A-Za-z0-9._-]`, not starting with a dot.
    SchemaId, "schema id", "invalid_schema_id", plain_name);
name!(
    /// A master key: 1 to 128 of `[A-Za-z0-9._-]`, not starting with a dot.
    KeyId, "key id", "invalid_key_id", plain_name);
name!(
    /// The process that wrote an object: 1 to 128 of `[A-Za-z0-9._-]`, not starting with a dot.
    WriterId, "writer id", "invalid_writer_id", plain_name);
name!(
    /// An entity within its database: 1 to 512 bytes of UTF-8 without `/`, `\`, `..` and control characters.
    EntityKey, "entity key", "invalid_key", entity_key);

fn plain_name(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        return Err(format!("must be 1 to {NAME_BYTES_MAX} characters, and is {}", text.len()));
    }
    if text.starts_with('.') {
        return Err("must not start with a dot".into());
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        return Err("may hold only letters, digits, '.', '_' and '-'".into());
    }
    Ok(())
}

fn entity_key(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > ENTITY_KEY_BYTES_MAX {
        return Err(format!("must be 1 to {ENTITY_KEY_BYTES_MAX} bytes, and is {}", text.len()));
    }
    if text.contains(['/', '\\']) || text.contains("..") {
        return Err("must not contain '/', '\\' or '..'".into());
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters".into());
    }
    Ok(())
}

impl DatabaseName {
    /// Where the product keeps objects of its own (`/auth`, `/databases`): no client can spell such a name.
    pub(crate) fn reserved(space: &str) -> Self {
        Self(format!("/{space}").into())
    }

    /// Whether this is such a name.
    pub(crate) fn is_reserved(&self) -> bool {
        self.0.starts_with('/')
    }
}

/// Where an entity lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityId {
    /// The database.
    pub database: DatabaseName,
    /// The key within it.
    pub key: EntityKey,
}

impl EntityId {
    /// The entity under `key` in `database`.
    pub fn new(database: DatabaseName, key: EntityKey) -> Self {
        Self { database, key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_letters_digits_and_three_signs() {
        for good in ["a", "chat.v1", "A-b_c", "_auth", "a..b", &"x".repeat(128)] {
            assert!(DatabaseName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".hidden", "a/b", "a b", "ä", "a\0", "a%2F", &"x".repeat(129)] {
            assert_eq!(DatabaseName::parse(bad).unwrap_err().code(), "invalid_database", "{bad}");
        }
    }

    #[test]
    fn entity_keys_are_text_without_path_signs() {
        for good in ["a", "user:1", "ключ", "a b", ".hid", "😀", &"k".repeat(512)] {
            assert!(EntityKey::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "a\\b", "a..b", "..", "a\nb", "\u{7f}", "\u{85}", &"k".repeat(513)] {
            assert_eq!(EntityKey::parse(bad).unwrap_err().code(), "invalid_key", "{bad}");
        }
    }
}
