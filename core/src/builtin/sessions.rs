//! Sessions: short-lived tokens that stand for a credential, and die with it.
//!
//! A token is signed with a key derived from the store under a label of its own, so it survives a restart without being
//! stored. It carries a fingerprint of the credential it was issued for: when that changes, the token is dead.

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
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::keyring::{Keyring, Root};
use crate::keys::{Secret, SecretText, fill_random};

/// How every session token begins.
const PREFIX: &str = "ds_";
/// The longest `client_id` of a login, in bytes.
pub const CLIENT_ID_BYTES_MAX: usize = 128;

/// What a session stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Parent {
    /// The admin key.
    Admin,
    /// A `client_id` alone, where that is allowed.
    Client,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    who: Principal,
    parent: Parent,
    fingerprint: String,
    /// Seconds since 1970.
    expires: u64,
    /// Makes every token different.
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

/// Issues and takes sessions.
#[derive(Debug)]
pub struct Sessions {
    keyring: Arc<Keyring>,
    admin: AdminKey,
    clients_allowed: bool,
    ttl: Duration,
    clock: Arc<dyn Clock>,
}

impl Sessions {
    /// Sessions of a store that last `ttl`. With `clients_allowed`, a `client_id` alone gets one, to read and write.
    pub fn new(
        keyring: Arc<Keyring>,
        admin: AdminKey,
        clients_allowed: bool,
        ttl: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { keyring, admin, clients_allowed, ttl, clock }
    }

    /// A session for the holder of the admin key, or `Unauthorized`.
    pub fn login(&self, key: &SecretText) -> Result<Session> {
        if !self.admin.is(key) {
            return Err(unauthorized("this key is not known; check it, or ask an administrator for one"));
        }
        self.issue(Principal::admin(), Parent::Admin)
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
        let permissions = vec![Permission::Read, Permission::Write];
        self.issue(Principal { client_id: client_id.into(), permissions, scopes: Vec::new() }, Parent::Client)
    }

    fn issue(&self, who: Principal, parent: Parent) -> Result<Session> {
        let expires = self.clock.now().after(self.ttl);
        let mut nonce = [0; 12];
        fill_random(&mut nonce)?;
        let root = self.keyring.active();
        let claims = Claims {
            who: who.clone(),
            parent,
            fingerprint: self.fingerprint(root)?,
            expires: expires.seconds(),
            nonce: BASE64URL_NOPAD.encode(&nonce),
        };
        let claims = serde_json::to_vec(&claims).map_err(|error| Error::internal("no session").with_source(error))?;
        let claims = BASE64URL_NOPAD.encode(&claims);
        let mac = mac(root, claims.as_bytes())?.finalize().into_bytes();
        let token = format!("{PREFIX}{claims}.{}", BASE64URL_NOPAD.encode(&mac));
        Ok(Session { token: SecretText::new(token), who, expires: Timestamp(expires.seconds() * 1_000_000) })
    }

    /// The principal of a token; what exactly is wrong with a bad one is nobody's business but "expired".
    fn verify(&self, token: &str) -> Result<Principal> {
        let wrong = || unauthorized("this session is not valid; log in again");
        let (signed, mac_text) = token.split_once('.').ok_or_else(wrong)?;
        let given = BASE64URL_NOPAD.decode(mac_text.as_bytes()).map_err(|_| wrong())?;
        let mut signer = None;
        for root in self.keyring.roots() {
            if mac(root, signed.as_bytes())?.verify_slice(&given).is_ok() {
                signer = Some(root);
            }
        }
        let root = signer.ok_or_else(wrong)?;
        let claims = BASE64URL_NOPAD.decode(signed.as_bytes()).map_err(|_| wrong())?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| wrong())?;
        if claims.expires <= self.clock.now().seconds() {
            return Err(unauthorized("this session has expired; log in again"));
        }
        let same_key = claims.fingerprint.as_bytes().ct_eq(self.fingerprint(root)?.as_bytes());
        let allowed = claims.parent == Parent::Admin || self.clients_allowed;
        if bool::from(same_key) && allowed { Ok(claims.who) } else { Err(wrong()) }
    }

    /// The admin key's fingerprint under a root: it tells nothing to whoever reads a token.
    fn fingerprint(&self, root: &Root) -> Result<String> {
        let mac = mac(root, b"admin\0")?.chain_update(self.admin.digest().expose()).finalize().into_bytes();
        Ok(BASE64URL_NOPAD.encode(mac.get(..16).unwrap_or_default()))
    }
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
        presented.expose().strip_prefix(PREFIX).map(|token| self.verify(token)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::conformance;
    use crate::conformance::auth::Fixture;
    use crate::error::ErrorKind;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn sessions(admin: &str, clients: bool, clock: &ManualClock) -> Sessions {
        let admin = AdminKey::new(&SecretText::new(admin)).unwrap();
        Sessions::new(conformance::sealer().keyring().clone(), admin, clients, DAY, Arc::new(clock.clone()))
    }

    async fn ask(sessions: &Sessions, token: &str) -> Result<Option<Principal>> {
        sessions.authenticate(&Credential::bearer(token)).await
    }

    async fn fixture() -> Fixture {
        let clock = ManualClock::new(Timestamp(1));
        let sessions = sessions("adminkey", false, &clock);
        let token = sessions.login(&SecretText::new("adminkey")).unwrap().token;
        let mut forged = token.expose().to_owned();
        let last = forged.pop().unwrap();
        forged.push(if last == 'A' { 'Q' } else { 'A' });
        Fixture::new(sessions, token.expose(), Principal::admin())
            .foreign("adminkey")
            .foreign("dk_1_2")
            .wrong(&forged)
            .wrong("ds_")
            .wrong("ds_e30.AA")
    }

    crate::conformance::auth!(fixture);

    #[tokio::test]
    async fn a_session_lasts_as_long_as_it_says() {
        let clock = ManualClock::new(Timestamp(1));
        let sessions = sessions("adminkey", false, &clock);
        let session = sessions.login(&SecretText::new("adminkey")).unwrap();
        assert_eq!(session.expires.seconds(), DAY.as_secs());
        clock.advance(DAY - Duration::from_secs(1));
        assert!(ask(&sessions, session.token.expose()).await.is_ok());
        clock.advance(Duration::from_secs(1));
        let error = ask(&sessions, session.token.expose()).await.unwrap_err();
        assert!(error.to_string().contains("expired"));
    }

    #[tokio::test]
    async fn a_session_survives_a_restart_and_dies_with_the_admin_key() {
        let clock = ManualClock::new(Timestamp(1));
        let token = sessions("adminkey", true, &clock).login(&SecretText::new("adminkey")).unwrap().token;
        let client = sessions("adminkey", true, &clock).login_client("app").unwrap().token;
        assert!(ask(&sessions("adminkey", true, &clock), token.expose()).await.is_ok());
        for (admin, clients, token) in [("other", true, &token), ("other", true, &client), ("adminkey", false, &client)]
        {
            let error = ask(&sessions(admin, clients, &clock), token.expose()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthorized);
        }
    }

    #[tokio::test]
    async fn every_changed_character_of_a_token_is_refused() {
        let clock = ManualClock::new(Timestamp(1));
        let sessions = sessions("adminkey", false, &clock);
        let token = sessions.login(&SecretText::new("adminkey")).unwrap().token;
        for at in PREFIX.len()..token.expose().len() {
            let mut changed = token.expose().as_bytes().to_vec();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(ask(&sessions, &changed).await.unwrap_err().kind(), ErrorKind::Unauthorized, "{at}");
        }
    }

    #[test]
    fn a_client_id_alone_is_a_login_only_where_that_is_allowed() {
        let clock = ManualClock::new(Timestamp(1));
        assert_eq!(sessions("a", false, &clock).login_client("app").unwrap_err().kind(), ErrorKind::Unauthorized);
        let session = sessions("a", true, &clock).login_client("app").unwrap();
        assert_eq!(session.who.permissions, [Permission::Read, Permission::Write]);
        assert!(sessions("a", true, &clock).login_client("a\nb").is_err());
        assert_eq!(
            sessions("a", true, &clock).login(&SecretText::new("b")).unwrap_err().kind(),
            ErrorKind::Unauthorized
        );
    }
}
