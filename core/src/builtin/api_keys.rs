//! API keys: credentials that an administrator makes and withdraws, `dk_<id>_<secret>`.
//!
//! The id is public and finds the key; the secret is 32 random bytes, of which only a SHA-256 digest is kept: so many
//! random bits need no password hash, and a check costs next to nothing. An expired key does not count from that moment
//! on, and stays in the list until it is deleted.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::auth::{Auth, Credential, Permission, Principal, Scope, unauthorized};
use crate::builtin::ledger::{Ledger, to_its_end};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::keys::{Secret, SecretText};
use crate::name::DatabaseName;

/// How every API key begins.
const PREFIX: &str = "dk_";
/// The random bytes of an id.
const ID_BYTES: usize = 5;
/// The random bytes of a secret.
const SECRET_BYTES: usize = 32;
/// The longest name of a key, in characters.
pub const API_KEY_NAME_CHARS_MAX: usize = 128;
/// The most scopes of one key.
pub const SCOPES_MAX: usize = 100;
/// The longest time after which a key can be made to expire; without an expiry it lasts until it is deleted.
pub const API_KEY_LIFETIME_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 3600);
/// The client id of the admin key, which no API key may take.
const RESERVED_NAME: &str = "admin";

/// An API key, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApiKey {
    /// What it is found and deleted by.
    pub id: String,
    /// How its administrator calls it, and the client id of those who use it.
    pub name: String,
    /// What it allows at all.
    pub permissions: Vec<Permission>,
    /// Where; everywhere when empty.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created: Timestamp,
    /// When it expires, if ever.
    pub expires: Option<Timestamp>,
    digest: SecretDigest,
}

impl ApiKey {
    /// Whether it does not count any more.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Who uses it.
    pub fn principal(&self) -> Principal {
        let (permissions, scopes) = (self.permissions.clone(), self.scopes.clone());
        Principal { client_id: self.name.clone(), permissions, scopes }
    }

    /// What sessions are bound to; it reveals nothing without the store's key.
    pub(super) fn digest(&self) -> &[u8; 32] {
        self.digest.0.expose()
    }
}

/// The SHA-256 digest of a key's secret.
#[derive(Clone)]
struct SecretDigest(Secret<32>);

impl SecretDigest {
    fn of(secret: &str) -> Self {
        Self(Secret::new(Sha256::digest(secret).into()))
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for SecretDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_hex())
    }
}

impl<'de> Deserialize<'de> for SecretDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let hex = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = HEXLOWER.decode(hex.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(|bytes| Self(Secret::new(bytes))).ok_or_else(|| serde::de::Error::custom("not a digest"))
    }
}

/// What an administrator wants a key to be.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// How to call it.
    pub name: String,
    /// What it allows at all.
    pub permissions: Vec<Permission>,
    /// Where; everywhere when empty.
    pub scopes: Vec<Scope>,
    /// How long it lasts; until it is deleted when `None`.
    pub expires_in: Option<Duration>,
}

impl NewApiKey {
    /// Refuses what makes no key: no permission, an administrator with scopes, a scope that names no database.
    fn check(&self) -> Result<()> {
        let invalid = |message: String| Err(Error::invalid("invalid_api_key", message));
        let chars = self.name.chars().count();
        if chars == 0 || chars > API_KEY_NAME_CHARS_MAX || self.name.chars().any(char::is_control) {
            return invalid(format!(
                "name must be 1 to {API_KEY_NAME_CHARS_MAX} characters, and no control characters"
            ));
        }
        if self.name == RESERVED_NAME {
            return invalid(format!("the name {RESERVED_NAME:?} is the admin key's; choose another"));
        }
        if self.permissions.is_empty() {
            return invalid("permissions must name at least one of read, write, admin".into());
        }
        if !self.scopes.is_empty() && self.permissions.contains(&Permission::Admin) {
            return invalid("a key with the permission admin cannot have scopes; leave one of them out".into());
        }
        if self.scopes.len() > SCOPES_MAX {
            return invalid(format!("{} scopes, and {SCOPES_MAX} are allowed", self.scopes.len()));
        }
        if self.expires_in.is_some_and(|time| time.is_zero() || time > API_KEY_LIFETIME_MAX) {
            return invalid("expires_in must be more than 0 and at most 100 years; leave it out for no expiry".into());
        }
        self.scopes.iter().try_for_each(check_scope)
    }
}

fn check_scope(scope: &Scope) -> Result<()> {
    let start = scope.database.strip_suffix('*');
    let named = match start {
        Some("") => true,
        Some(start) => DatabaseName::parse(start).is_ok(),
        None => DatabaseName::parse(&scope.database).is_ok(),
    };
    if !named {
        let message = "a scope's database must be a database name, or the beginning of one followed by *";
        return Err(Error::invalid("invalid_api_key", message));
    }
    if scope.actions.is_empty() {
        return Err(Error::invalid("invalid_api_key", "a scope must name at least one action: read, write, schema"));
    }
    Ok(())
}

/// A key that was just made.
#[derive(Debug)]
pub struct CreatedApiKey {
    /// The key.
    pub key: Arc<ApiKey>,
    /// The credential, which nobody can find out again.
    pub credential: SecretText,
}

/// Makes, finds and withdraws API keys, and takes them as bearer tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ApiKeys(Arc<Ledger>);

impl ApiKeys {
    /// The keys of a ledger.
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self(ledger)
    }

    /// Makes a key; once this returns it is durable and counts.
    pub async fn create(&self, wanted: NewApiKey) -> Result<CreatedApiKey> {
        wanted.check()?;
        let NewApiKey { name, mut permissions, mut scopes, expires_in } = wanted;
        permissions.sort_unstable();
        permissions.dedup();
        for scope in &mut scopes {
            scope.actions.sort_unstable();
            scope.actions.dedup();
        }
        let created = self.0.clock().now();
        let expires = expires_in.map(|time| created.after(time));
        let secret = random_text::<SECRET_BYTES>()?;
        let digest = SecretDigest::of(&secret);
        let id = random_text::<ID_BYTES>()?.to_string();
        let key = ApiKey { id, name, permissions, scopes, created, expires, digest };
        let ledger = self.0.clone();
        let key = to_its_end(async move { ledger.add(key).await }).await?;
        let credential = SecretText::new(format!("{PREFIX}{}_{}", key.id, *secret));
        Ok(CreatedApiKey { key, credential })
    }

    /// Every key, expired ones included, the oldest first.
    pub async fn list(&self) -> Result<Vec<Arc<ApiKey>>> {
        self.0.keys().await
    }

    /// Withdraws a key; once this returns neither it nor a session of it counts. `NotFound` if there is none.
    pub async fn delete(&self, id: &str) -> Result<()> {
        let (ledger, owned) = (self.0.clone(), id.to_owned());
        match to_its_end(async move { ledger.remove(&owned).await }).await? {
            true => Ok(()),
            false => Err(Error::not_found("there is no API key of this id; GET /api/keys lists them")),
        }
    }

    /// The key of an id, if it counts now.
    pub(super) async fn counting(&self, id: &str) -> Result<Option<Arc<ApiKey>>> {
        let now = self.0.clock().now();
        Ok(self.0.key(id).await?.filter(|key| !key.is_expired(now)))
    }

    /// The key that a credential is of: `None` if it is none of ours, `Unauthorized` if it is wrong, withdrawn or expired.
    pub(super) async fn find(&self, credential: &SecretText) -> Result<Option<Arc<ApiKey>>> {
        let Some(rest) = credential.expose().strip_prefix(PREFIX) else { return Ok(None) };
        let wrong = || unauthorized("this API key is not known; check it, or ask an administrator for one");
        let (id, secret) = rest.split_once('_').ok_or_else(wrong)?;
        let key = self.0.key(id).await?.ok_or_else(wrong)?;
        // The digests are compared, so neither time nor answer says how much of a secret is right.
        if !bool::from(SecretDigest::of(secret).0.expose().ct_eq(key.digest())) {
            return Err(wrong());
        }
        if key.is_expired(self.0.clock().now()) {
            return Err(unauthorized("this API key has expired; ask an administrator for another"));
        }
        Ok(Some(key))
    }
}

#[async_trait]
impl Auth for ApiKeys {
    async fn authenticate(&self, credential: &Credential) -> Result<Option<Principal>> {
        let Credential::Bearer(presented) = credential;
        Ok(self.find(presented).await?.map(|key| key.principal()))
    }
}

/// So many random bytes, as letters and digits.
fn random_text<const BYTES: usize>() -> Result<Zeroizing<String>> {
    let bytes = Secret::<BYTES>::random()?;
    let mut text = Zeroizing::new(BASE32_NOPAD.encode(bytes.expose()));
    text.make_ascii_lowercase();
    Ok(text)
}

#[cfg(test)]
#[path = "api_keys_tests.rs"]
mod tests;
