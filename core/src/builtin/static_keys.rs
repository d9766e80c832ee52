//! Master keys that were given as values, on the command line or in the environment.

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::keys::{KeyProvider, MasterKey};
use crate::name::KeyId;

/// Keys that live in this process only.
#[derive(Debug)]
pub struct StaticKeys(Vec<MasterKey>);

impl StaticKeys {
    /// Provides these keys, the one for new data first.
    pub fn new(keys: Vec<MasterKey>) -> Self {
        Self(keys)
    }
}

#[async_trait]
impl KeyProvider for StaticKeys {
    async fn keys(&self) -> Result<Vec<MasterKey>> {
        Ok(self.0.clone())
    }

    async fn create(&self, id: &KeyId) -> Result<MasterKey> {
        if self.0.iter().any(|key| key.id == *id) {
            return Err(Error::conflict(format!("there is a master key {id} already")));
        }
        let message = "a key given as a value cannot be replaced while the server runs; restart it with the new key as \
                       --master-key-file or MASTER_KEY and the present one as --previous-key ID=HEX";
        Err(Error::conflict(message).with_code("keys_not_persistent"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fixture() -> StaticKeys {
        let key = |id: &str| MasterKey::generate(KeyId::parse(id).unwrap()).unwrap();
        StaticKeys::new(vec![key("first"), key("second")])
    }

    crate::conformance::keys!(fixture);
}
