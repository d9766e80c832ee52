//! Sessions: short-lived tokens that stand for a credential, and die with it.
//!
//! A token is signed with a key derived from the store under a label of its own, so it survives a restart without being
//! stored. It names the credential it was issued for and carries its fingerprint: what the token allows is what that
//! credential allows now, and nothing once it is withdrawn. Only a session that is ended by hand leaves a record.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::auth::{Auth, Credential, Permission, Principal, unauthorized};
use crate::builtin::admin_key::AdminKey;
use crate::builtin::api_keys::{ApiKey, ApiKeys};
use crate::builtin::ledger::{Ledger, to_its_end};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::keyring::{Keyring, Root};
use crate::keys::{Secret, SecretText, fill_random};

/// How every session token begins.
const PREFIX: &str = "ds_";
/// The longest `client_id` of a login, in bytes.
pub const CLIENT_ID_BYTES_MAX: usize = 128;

/// What a session stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Parent {
    /// The admin key.
    Admin,
    /// A `client_id` alone, where that is allowed.
    Client(String),
    /// The API key of this id.
    Key(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    parent: Parent,
    fingerprint: String,
    /// Seconds since 1970.
    expires: u64,
    /// Makes every token different, and names the session when it is ended.
    nonce: String,
}

/// A session that was just issued.
#[derive(Debug)]
pub struct Session {
    /// The token to present as a bearer.
    pub token: SecretText,
    /// Who it stands for.
    pub who: Principal,
    /// When it ends by itself.
    pub expires: Timestamp,
}

/// Issues, takes and ends sessions.
#[derive(Debug)]
pub struct Sessions {
    keyring: Arc<Keyring>,
    admin: AdminKey,
    clients_allowed: bool,
    ttl: Duration,
    ledger: Arc<Ledger>,
    keys: ApiKeys,
}

impl Sessions {
    /// Sessions of a store that last `ttl`. With `clients_allowed`, a `client_id` alone gets one, to read and write.
    pub fn new(
        keyring: Arc<Keyring>,
        admin: AdminKey,
        clients_allowed: bool,
        ttl: Duration,
        ledger: Arc<Ledger>,
    ) -> Self {
        Self { keyring, admin, clients_allowed, ttl, keys: ApiKeys::new(ledger.clone()), ledger }
    }

    /// A session for the holder of the admin key or of an API key, or `Unauthorized`.
    pub async fn login(&self, key: &SecretText) -> Result<Session> {
        if self.admin.is(key) {
            return self.issue(Principal::admin(), Parent::Admin, None);
        }
        match self.keys.find(key).await? {
            Some(key) => self.issue(key.principal(), Parent::Key(key.id.clone()), Some(&key)),
            None => Err(unauthorized("this key is not known; check it, or ask an administrator for one")),
        }
    }

    /// A session for whoever calls itself `client_id`, or `Unauthorized` where that is not allowed.
    pub fn login_client(&self, client_id: &str) -> Result<Session> {
        if !self.clients_allowed {
            return Err(unauthorized(
                "a login needs a key: send {\"key\": \"…\"}; a client_id alone works only under --dev",
            ));
        }
        if client_id.is_empty() || client_id.len() > CLIENT_ID_BYTES_MAX || client_id.chars().any(char::is_control) {
            let message = format!("client_id must be 1 to {CLIENT_ID_BYTES_MAX} bytes without control characters");
            return Err(Error::invalid("invalid_client_id", message));
        }
        self.issue(client(client_id.into()), Parent::Client(client_id.into()), None)
    }

    /// Ends a session for good; once this returns the token does not count any more.
    pub async fn logout(&self, token: &SecretText) -> Result<()> {
        let Some(rest) = token.expose().strip_prefix(PREFIX) else {
            let message = "only a session can be ended, and this is a key: delete it with DELETE /api/keys/{id}";
            return Err(Error::invalid("not_a_session", message));
        };
        let Signed { claims, .. } = {
            let signed = self.claims(rest)?;
            self.who(&signed).await?;
            signed
        };
        let (ledger, expires) = (self.ledger.clone(), Timestamp(claims.expires.saturating_mul(1_000_000)));
        to_its_end(async move { ledger.end(&claims.nonce, expires).await }).await
    }

    fn issue(&self, who: Principal, parent: Parent, key: Option<&ApiKey>) -> Result<Session> {
        let ends = self.ledger.clock().now().after(self.ttl);
        let expires = key.and_then(|key| key.expires).map_or(ends, |expires| ends.min(expires));
        let mut nonce = [0; 12];
        fill_random(&mut nonce)?;
        let root = self.keyring.active();
        let claims = Claims {
            parent,
            fingerprint: self.fingerprint(&root, key)?,
            expires: expires.seconds(),
            nonce: BASE64URL_NOPAD.encode(&nonce),
        };
        let claims = serde_json::to_vec(&claims).map_err(|error| Error::internal("no session").with_source(error))?;
        let claims = BASE64URL_NOPAD.encode(&claims);
        let mac = mac(&root, claims.as_bytes())?.finalize().into_bytes();
        let token = format!("{PREFIX}{claims}.{}", BASE64URL_NOPAD.encode(&mac));
        Ok(Session { token: SecretText::new(token), who, expires: Timestamp(expires.seconds() * 1_000_000) })
    }

    /// What a token says, if it was signed here; what exactly is wrong with a bad one is nobody's business.
    fn claims(&self, token: &str) -> Result<Signed> {
        let (signed, mac_text) = token.split_once('.').ok_or_else(wrong)?;
        let given = BASE64URL_NOPAD.decode(mac_text.as_bytes()).map_err(|_| wrong())?;
        let mut signer = None;
        for root in self.keyring.roots() {
            if mac(&root, signed.as_bytes())?.verify_slice(&given).is_ok() {
                signer = Some(root);
            }
        }
        let root = signer.ok_or_else(wrong)?;
        let claims = BASE64URL_NOPAD.decode(signed.as_bytes()).map_err(|_| wrong())?;
        Ok(Signed { claims: serde_json::from_slice(&claims).map_err(|_| wrong())?, root })
    }

    /// Who a session stands for now: nobody once it is over, was ended, or the key it was issued for does not count.
    async fn who(&self, Signed { claims, root }: &Signed) -> Result<Principal> {
        if claims.expires <= self.ledger.clock().now().seconds() {
            return Err(unauthorized("this session has expired; log in again"));
        }
        if self.ledger.is_ended(&claims.nonce).await? {
            return Err(wrong());
        }
        let (who, key) = match &claims.parent {
            Parent::Admin => (Principal::admin(), None),
            Parent::Client(id) if self.clients_allowed => (client(id.clone()), None),
            Parent::Client(_) => return Err(wrong()),
            Parent::Key(id) => {
                let key = self.keys.counting(id).await?.ok_or_else(wrong)?;
                (key.principal(), Some(key))
            }
        };
        let fingerprint = self.fingerprint(root, key.as_deref())?;
        if bool::from(claims.fingerprint.as_bytes().ct_eq(fingerprint.as_bytes())) { Ok(who) } else { Err(wrong()) }
    }

    /// The fingerprint under a root of an API key, else of the admin key: it tells nothing to whoever reads a token.
    fn fingerprint(&self, root: &Root, key: Option<&ApiKey>) -> Result<String> {
        let mac = match key {
            None => mac(root, b"admin\0")?.chain_update(self.admin.digest().expose()),
            Some(key) => mac(root, b"key\0")?.chain_update(key.id.as_bytes()).chain_update(key.digest()),
        };
        let mac = mac.finalize().into_bytes();
        Ok(BASE64URL_NOPAD.encode(mac.get(..16).unwrap_or_default()))
    }
}

/// What a token says, and the key it was signed under.
struct Signed {
    claims: Claims,
    root: Arc<Root>,
}

fn wrong() -> Error {
    unauthorized("this session is not valid; log in again")
}

/// Whoever calls itself so.
fn client(client_id: String) -> Principal {
    Principal { client_id, permissions: vec![Permission::Read, Permission::Write], scopes: Vec::new() }
}

fn mac(root: &Root, message: &[u8]) -> Result<Hmac<Sha256>> {
    let key: Secret<32> = root.derive("ddb1/session");
    let mac = Hmac::<Sha256>::new_from_slice(key.expose()).map_err(|_| Error::internal("no HMAC key"))?;
    Ok(mac.chain_update(message))
}

#[async_trait]
impl Auth for Sessions {
    async fn authenticate(&self, credential: &Credential) -> Result<Option<Principal>> {
        let Credential::Bearer(presented) = credential;
        let Some(token) = presented.expose().strip_prefix(PREFIX) else { return Ok(None) };
        self.who(&self.claims(token)?).await.map(Some)
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
