//! The admin key: the one credential that exists without a store.

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::auth::{Auth, Credential, Principal};
use crate::error::{Error, Result};
use crate::keys::{Secret, SecretText};

/// The shortest admin key that does not draw a warning, in bytes.
pub const ADMIN_KEY_BYTES_ADVISED: usize = 16;

/// Takes the admin key as a bearer token. Only its digest is kept, and comparisons take the same time whatever is wrong.
#[derive(Debug, Clone)]
pub struct AdminKey {
    digest: Secret<32>,
}

impl AdminKey {
    /// An admin key; an empty one is refused.
    pub fn new(key: &SecretText) -> Result<Self> {
        if key.expose().trim().is_empty() {
            return Err(Error::invalid(
                "invalid_admin_key",
                "the admin key is empty; give one with ADMIN_KEY or --admin-key-file",
            ));
        }
        Ok(Self { digest: Secret::new(Sha256::digest(key.expose()).into()) })
    }

    /// Whether a presented text is the admin key.
    pub fn is(&self, presented: &SecretText) -> bool {
        Sha256::digest(presented.expose()).as_slice().ct_eq(self.digest.expose()).into()
    }

    /// What sessions are bound to; it reveals nothing without the store's key.
    pub fn digest(&self) -> &Secret<32> {
        &self.digest
    }
}

#[async_trait]
impl Auth for AdminKey {
    async fn authenticate(&self, credential: &Credential) -> Result<Option<Principal>> {
        let Credential::Bearer(presented) = credential;
        Ok(self.is(presented).then(Principal::admin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::auth::Fixture;

    async fn fixture() -> Fixture {
        let auth = AdminKey::new(&SecretText::new("the-admin-key")).unwrap();
        Fixture::new(auth, "the-admin-key", Principal::admin()).foreign("another-key").foreign("the-admin-ke")
    }

    crate::conformance::auth!(fixture);

    #[test]
    fn an_empty_admin_key_is_refused() {
        assert!(AdminKey::new(&SecretText::new(" ")).is_err());
    }
}
