//! The keys of one store: everything is derived from its master keys, and no content key is ever written.
//!
//! A key is recognised by its check value, whatever the operator calls it. The derivations are HKDF-SHA-256 (RFC 5869)
//! as FORMAT.md lists them, each under a label of its own.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use hkdf::Hkdf;
use lru::LruCache;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::error::{Error, Result};
use crate::keys::{MasterKey, Secret};
use crate::name::{DatabaseName, KeyId};

/// How many databases' keys are kept derived for each master key.
const DATABASE_KEYS_MAX: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// The identity of a store: 16 random bytes, the salt of every derivation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StoreId(pub [u8; 16]);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a key is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// New objects are sealed under it; exactly one key of a store is active.
    Active,
    /// Objects under it can still be opened.
    Decrypt,
}

/// A pseudorandom key with its HMAC states prepared, which stay in one place and are zeroised when dropped.
type Prk = Box<Hkdf<Sha256>>;

/// One master key in one store: `K_root`, and the database keys derived from it so far.
pub struct Root {
    id: KeyId,
    state: KeyState,
    root: Prk,
    databases: Mutex<LruCache<DatabaseName, Arc<Prk>>>,
}

impl Root {
    /// Derives the root of a master key in a store.
    pub fn new(store: StoreId, master: &MasterKey, id: KeyId, state: KeyState) -> Self {
        let root = Box::new(Hkdf::new(Some(&store.0), master.key.expose()));
        Self { id, state, root, databases: Mutex::new(LruCache::new(DATABASE_KEYS_MAX)) }
    }

    /// The id under which the store knows the key.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// What the key is used for.
    pub fn state(&self) -> KeyState {
        self.state
    }

    /// A key for one purpose, named by its label.
    pub fn derive<const N: usize>(&self, label: &str) -> Secret<N> {
        expand(&self.root, &[label.as_bytes()])
    }

    /// The check value by which a store recognises this key.
    pub fn check(&self) -> [u8; 16] {
        *self.derive::<16>("ddb1/check").expose()
    }

    /// Whether a check value is this key's, in constant time.
    pub fn is(&self, check: &[u8]) -> bool {
        self.check().ct_eq(check).into()
    }

    /// `E ‖ T` of one write: the AES key, and the commitment to it (FORMAT.md, "The object").
    pub(crate) fn document_key(&self, database: &DatabaseName, header_hash: &[u8]) -> Secret<64> {
        expand(&self.database_key(database), &[b"ddb1/doc\0", header_hash])
    }

    fn database_key(&self, database: &DatabaseName) -> Arc<Prk> {
        let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        databases
            .get_or_insert_ref(database, || {
                let key: Secret<32> = expand(&self.root, &[b"ddb1/db\0", database.as_str().as_bytes()]);
                Arc::new(prk(&key))
            })
            .clone()
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({}, {:?}, ***)", self.id, self.state)
    }
}

/// Uses a secret as a pseudorandom key.
pub(crate) fn prk(key: &Secret<32>) -> Prk {
    #[expect(clippy::expect_used, reason = "32 bytes are exactly one SHA-256 output, the shortest that is accepted")]
    let prk = Hkdf::from_prk(key.expose()).expect("a pseudorandom key of one hash length");
    Box::new(prk)
}

/// HKDF-Expand over the concatenation of `info`.
pub(crate) fn expand<const N: usize>(key: &Hkdf<Sha256>, info: &[&[u8]]) -> Secret<N> {
    #[expect(clippy::expect_used, reason = "N is 64 at most, far below the limit of 255 hash lengths")]
    Secret::filled(|out| key.expand_multi_info(info, out).expect("a short output"))
}

/// The keys of a store: one active, and those that can still decrypt. Clones share them, and what they learn.
#[derive(Debug, Clone)]
pub struct Keyring {
    store: StoreId,
    ring: Arc<RwLock<Ring>>,
}

#[derive(Debug, Clone)]
struct Ring {
    active: Arc<Root>,
    others: Vec<Arc<Root>>,
}

impl Keyring {
    /// A keyring of exactly one active key and any number that only decrypt.
    pub fn new(store: StoreId, roots: Vec<Root>) -> Result<Self> {
        let (mut active, others): (Vec<_>, Vec<_>) =
            roots.into_iter().map(Arc::new).partition(|root| root.state == KeyState::Active);
        match (active.pop(), active.pop()) {
            (Some(active), None) => Ok(Self { store, ring: Arc::new(RwLock::new(Ring { active, others })) }),
            _ => Err(Error::internal("a keyring needs exactly one active key")),
        }
    }

    fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store these keys belong to.
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// The key that new objects are sealed under.
    pub fn active(&self) -> Arc<Root> {
        self.ring().active.clone()
    }

    /// Every key, the active one first.
    pub fn roots(&self) -> impl Iterator<Item = Arc<Root>> {
        let Ring { active, others } = self.ring().clone();
        std::iter::once(active).chain(others)
    }

    /// The key of an id, if this keyring holds it.
    pub fn find(&self, id: &str) -> Option<Arc<Root>> {
        let ring = self.ring();
        std::iter::once(&ring.active).chain(&ring.others).find(|root| root.id.as_str() == id).cloned()
    }

    /// Takes the keys of a later superblock of the same store, for all who share this keyring.
    pub fn follow(&self, later: &Self) -> Result<()> {
        if self.store != later.store {
            return Err(Error::internal("the keys of another store"));
        }
        let taken = later.ring().clone();
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = taken;
        Ok(())
    }
}
