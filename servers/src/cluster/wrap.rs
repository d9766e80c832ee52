//! Master keys on their way to a worker: RSA-OAEP with SHA-256 (RFC 8017, section 7.1), one block a key.
//!
//! The label binds a block to the worker and the key's id, so a block that was made for another worker or another key does
//! not open. A key pair serves one subscription and is dropped, and zeroised, once the keys are unwrapped.

use delta_core::keys::{MasterKey, Secret};
use delta_core::name::{KeyId, WriterId};
use delta_core::{Error, Result};
use getrandom::SysRng;
use rsa::pkcs8::{DecodePublicKey, EncodePublicKey};
use rsa::rand_core::UnwrapErr;
use rsa::traits::PublicKeyParts;
use rsa::{Oaep, RsaPrivateKey, RsaPublicKey};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The size of a worker's key: as strong as AES-128 (NIST SP 800-57), and made in a quarter of a second.
const KEY_BITS: usize = 3072;
/// The sizes that a main takes.
const KEY_BITS_TAKEN: std::ops::RangeInclusive<usize> = 2048..=4096;
/// The longest public key that is looked at, in bytes.
const PUBLIC_KEY_BYTES_MAX: usize = 1024;
/// How every label begins.
const LABEL: &str = "deltadb/worker-key/v1";

fn label(worker: &WriterId, key: &str) -> Vec<u8> {
    [LABEL.as_bytes(), b"\0", worker.as_str().as_bytes(), b"\0", key.as_bytes()].concat()
}

/// The key pair of one subscription.
pub(crate) struct WorkerKey(RsaPrivateKey);

impl WorkerKey {
    /// Makes one, which takes a while: not on an async thread.
    pub(crate) fn generate() -> Result<Self> {
        let made = RsaPrivateKey::new(&mut UnwrapErr(SysRng), KEY_BITS);
        Ok(Self(made.map_err(|error| Error::internal("no RSA key could be made").with_source(error.to_string()))?))
    }

    /// The public half, as DER.
    pub(crate) fn public(&self) -> Result<Vec<u8>> {
        let der = RsaPublicKey::from(&self.0).to_public_key_der();
        Ok(der.map_err(|error| Error::internal("an RSA key has no DER").with_source(error.to_string()))?.into_vec())
    }

    /// Opens the block of a key.
    pub(crate) fn unwrap(&self, worker: &WriterId, id: &str, block: &[u8]) -> Result<MasterKey> {
        let opened = self.0.decrypt(Oaep::<Sha256>::new_with_label(label(worker, id)), block);
        let opened = Zeroizing::new(opened.map_err(|_| not_ours())?);
        let key = Secret::from_slice(&opened).ok_or_else(not_ours)?;
        Ok(MasterKey { id: KeyId::parse(id)?, key })
    }
}

fn not_ours() -> Error {
    Error::invalid("wrapped_key", "the main sent a key that was not wrapped for this worker; check --main-addr")
}

/// Wraps keys to the public key that a worker sent.
pub(crate) struct Wrapper(RsaPublicKey);

impl Wrapper {
    /// Takes a public key; one that is too weak, too large or no key at all is refused.
    pub(crate) fn new(der: &[u8]) -> Result<Self> {
        let refused = || {
            let (least, most) = (KEY_BITS_TAKEN.start(), KEY_BITS_TAKEN.end());
            Error::invalid("invalid_pubkey", format!("pubkey must be the DER of an RSA key of {least} to {most} bits"))
        };
        let der = if der.len() > PUBLIC_KEY_BYTES_MAX { Err(refused())? } else { der };
        let key = RsaPublicKey::from_public_key_der(der).map_err(|_| refused())?;
        let bits = key.n().bits_vartime() as usize;
        if KEY_BITS_TAKEN.contains(&bits) { Ok(Self(key)) } else { Err(refused()) }
    }

    /// One block with a key in it.
    pub(crate) fn wrap(&self, worker: &WriterId, key: &MasterKey) -> Result<Vec<u8>> {
        let padding = Oaep::<Sha256>::new_with_label(label(worker, key.id.as_str()));
        let wrapped = self.0.encrypt(&mut UnwrapErr(SysRng), padding, key.key.expose());
        wrapped.map_err(|error| Error::internal("a key could not be wrapped").with_source(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_opens_only_for_its_worker_and_its_key() {
        let (one, other) = (WorkerKey::generate().unwrap(), WorkerKey::generate().unwrap());
        let worker = |text: &str| WriterId::parse(text).unwrap();
        let key = MasterKey::generate(KeyId::parse("k1").unwrap()).unwrap();
        let block = Wrapper::new(&one.public().unwrap()).unwrap().wrap(&worker("w1"), &key).unwrap();
        assert_eq!(one.unwrap(&worker("w1"), "k1", &block).unwrap().key.expose(), key.key.expose());
        assert!(one.unwrap(&worker("w2"), "k1", &block).is_err());
        assert!(one.unwrap(&worker("w1"), "k2", &block).is_err());
        assert!(other.unwrap(&worker("w1"), "k1", &block).is_err());
        let again = Wrapper::new(&one.public().unwrap()).unwrap().wrap(&worker("w1"), &key).unwrap();
        assert_ne!(block, again);
    }

    #[test]
    fn what_is_no_strong_key_is_refused() {
        let weak = RsaPrivateKey::new(&mut UnwrapErr(SysRng), 1024).unwrap();
        let weak = RsaPublicKey::from(&weak).to_public_key_der().unwrap().into_vec();
        for der in [&[][..], b"garbage", &[0x30; 2000], &weak] {
            assert_eq!(Wrapper::new(der).err().unwrap().code(), "invalid_pubkey");
        }
    }
}
