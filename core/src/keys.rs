//! Master keys and the contract with where they come from.
//!
//! A key provider knows keys, not stores: which of its keys a store needs is decided by the superblock's check values
//! (see [`crate::keyring`]). Key material is zeroised when dropped and prints `***`.

use std::fmt::{self, Debug};

use async_trait::async_trait;
use data_encoding::HEXLOWER_PERMISSIVE;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::{Error, Result};
use crate::name::KeyId;

/// Secret bytes of a fixed length: never printed, zeroised when dropped. They stay in one place: what is moved about, and
/// leaves copies on its way, is where they are.
#[derive(Clone)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> ZeroizeOnDrop for Secret<N> {}

impl<const N: usize> Secret<N> {
    /// Takes over secret bytes.
    pub fn new(mut bytes: [u8; N]) -> Self {
        let secret = Self::filled(|own| own.copy_from_slice(&bytes));
        bytes.zeroize();
        secret
    }

    /// Takes secret bytes from where they are zeroised anyway; `None` if their length is another one.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == N).then(|| Self::filled(|own| own.copy_from_slice(bytes)))
    }

    /// Secret bytes that are made where they stay.
    pub fn filled(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self(Box::new([0; N]));
        fill(&mut secret.0);
        secret
    }

    /// Fresh bytes from the operating system's generator.
    pub fn random() -> Result<Self> {
        let mut secret = Self(Box::new([0; N]));
        fill_random(secret.0.as_mut_slice())?;
        Ok(secret)
    }

    /// The bytes, for a computation; they must not be copied.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// The bytes as lower-case hex, for the one place where a person or a file must get them.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(HEXLOWER_PERMISSIVE.encode(self.0.as_slice()))
    }
}

impl<const N: usize> Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A credential or another secret text: never printed, zeroised when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretText(String);

impl SecretText {
    /// Takes over a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for a comparison or a computation; it must not be copied.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Fills a buffer from the operating system's generator; its failure is an error, never weak bytes.
pub fn fill_random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| {
        Error::unavailable("the operating system gives no random bytes").with_source(error.to_string())
    })
}

/// A key under which a store's content keys are derived: 256 bits, and the id under which the operator knows it.
#[derive(Clone)]
pub struct MasterKey {
    /// How the operator calls it. A store recognises its keys by value, whatever they are called here.
    pub id: KeyId,
    /// The key itself.
    pub key: Secret<32>,
}

impl MasterKey {
    /// A fresh key.
    pub fn generate(id: KeyId) -> Result<Self> {
        Ok(Self { id, key: Secret::random()? })
    }

    /// Reads 64 hex digits. The error never repeats them.
    pub fn from_hex(id: KeyId, hex: &str) -> Result<Self> {
        let decoded = Zeroizing::new(HEXLOWER_PERMISSIVE.decode(hex.trim().as_bytes()).unwrap_or_default());
        match Secret::from_slice(&decoded) {
            Some(key) => Ok(Self { id, key }),
            None => Err(Error::invalid(
                "invalid_master_key",
                format!("master key {id} must be 64 hex digits (32 bytes); `openssl rand -hex 32` makes one"),
            )),
        }
    }
}

impl Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({}, ***)", self.id)
    }
}

/// Where master keys come from: a value, a file, a key management service. Every sentence here is a test in
/// [`crate::conformance::keys`].
#[async_trait]
pub trait KeyProvider: Debug + Send + Sync + 'static {
    /// Every key this provider holds, the one to use for new data first. The same keys in the same order each time,
    /// until one is created.
    async fn keys(&self) -> Result<Vec<MasterKey>>;

    /// Makes a key and keeps it where this provider keeps its keys, so that [`KeyProvider::keys`] gives it first from
    /// now on, after a restart too. A provider that cannot keep one answers `Conflict` with the code
    /// `keys_not_persistent` and says what to do instead; an id it already holds is a `Conflict` too.
    async fn create(&self, id: &KeyId) -> Result<MasterKey>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let key = MasterKey::from_hex(KeyId::parse("k").unwrap(), &"ab".repeat(32)).unwrap();
        assert_eq!(format!("{key:?} {:?} {:?}", key.key, SecretText::new("hush")), "MasterKey(k, ***) *** ***");
    }

    #[test]
    fn a_master_key_is_64_hex_digits_and_errors_do_not_repeat_it() {
        for bad in ["", "ab", "zz", &"ab".repeat(31), &"AB".repeat(33), &"xy".repeat(32)] {
            let error = MasterKey::from_hex(KeyId::parse("k").unwrap(), bad).unwrap_err();
            assert_eq!(error.code(), "invalid_master_key");
            assert!(bad.len() < 4 || !error.to_string().contains(bad));
        }
        assert!(MasterKey::from_hex(KeyId::parse("k").unwrap(), &format!("{}\n", "Ab".repeat(32))).is_ok());
    }
}
