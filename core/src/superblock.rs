//! What makes a directory or bucket a store: its id, its naming, and which master keys it needs (FORMAT.md,
//! "Superblock").
//!
//! One object a generation, created exclusively; the newest counts, and a damaged one is never skipped. A wrong master
//! key is told here, before anything is written. Only `serve` or a main writes superblocks.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures::TryStreamExt;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::address::{NameMode, Names, superblock_name};
use crate::copying;
use crate::error::{Error, ErrorKind, Result};
use crate::keyring::{KeyState, Keyring, Root, StoreId};
use crate::keys::{MasterKey, Secret, fill_random};
use crate::name::KeyId;
use crate::storage::{Expect, Group, Object, Public, Space, Storage};

const FORMAT: u32 = 1;
/// How the line about a damaged superblock ends.
pub const ADVICE: &str = "; nothing was changed, see what `deltadb fsck` says";

/// The JSON line; its fields are written in this order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    format: u32,
    store_id: String,
    generation: u64,
    names: NameMode,
    keys: Vec<KeyLine>,
    name_key: NameKeyLine,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyLine {
    key_id: KeyId,
    state: KeyState,
    check: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NameKeyLine {
    key_id: KeyId,
    iv: String,
    ct: String,
}

/// What a superblock says of a store that never changes: its id, and the check value of each key.
#[derive(Debug)]
pub(crate) struct Claims {
    store_id: String,
    checks: Vec<(KeyId, String)>,
}

impl Claims {
    /// What the first line says, authentic or not.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self> {
        let line: Line = serde_json::from_slice(split_lines(bytes)?.0).map_err(|error| damaged(&error.to_string()))?;
        Ok(Self { store_id: line.store_id, checks: line.keys.into_iter().map(|key| (key.key_id, key.check)).collect() })
    }

    /// Whether both cannot be true.
    pub(crate) fn contradict(&self, other: &Self) -> bool {
        let denied = |(id, check): &(KeyId, String)| other.checks.iter().any(|(own, it)| own == id && it != check);
        self.store_id != other.store_id || self.checks.iter().any(denied)
    }
}

/// What a store is, opened.
#[derive(Debug)]
pub struct Superblock {
    /// Raised by one with every change.
    pub generation: u64,
    /// How entities are named at rest.
    pub names: NameMode,
    /// The keys, all of them at hand.
    pub keyring: Keyring,
    name_key: Secret<64>,
}

impl Superblock {
    /// A new store under a master key, generation 1.
    pub fn create(names: NameMode, master: &MasterKey) -> Result<Self> {
        let mut id = [0; 16];
        fill_random(&mut id)?;
        let store = StoreId(id);
        let root = Root::new(store, master, master.id.clone(), KeyState::Active);
        Ok(Self { generation: 1, names, keyring: Keyring::new(store, vec![root])?, name_key: Secret::random()? })
    }

    /// The next generation, in which `master` is the active key and the others decrypt.
    pub fn adopt(&self, master: &MasterKey, masters: &[MasterKey]) -> Result<Self> {
        let store = self.keyring.store();
        let mut roots = vec![Root::new(store, master, self.free_id(&master.id), KeyState::Active)];
        for root in self.keyring.roots() {
            let known = masters.iter().map(|known| Root::new(store, known, root.id().clone(), KeyState::Decrypt));
            let known = known.into_iter().find(|candidate| candidate.check() == root.check());
            roots.push(known.ok_or_else(|| Error::internal("a key of the store is not at hand any more"))?);
        }
        let keyring = Keyring::new(store, roots)?;
        Ok(Self { generation: self.generation + 1, names: self.names, keyring, name_key: self.name_key.clone() })
    }

    /// What it says that never changes.
    pub(crate) fn claims(&self) -> Claims {
        let checks = self.keyring.roots().map(|root| (root.id().clone(), HEXLOWER.encode(&root.check())));
        Claims { store_id: self.keyring.store().to_string(), checks: checks.collect() }
    }

    /// Whether a master key is one of this store's.
    pub fn knows(&self, master: &MasterKey) -> bool {
        let store = self.keyring.store();
        self.keyring.roots().any(|root| root.is(&Root::new(store, master, root.id().clone(), root.state()).check()))
    }

    /// The master keys of this store among those given, under the ids that it knows them by, the active one first.
    pub fn select(&self, masters: &[MasterKey]) -> Vec<MasterKey> {
        let store = self.keyring.store();
        let given = |root: &Root| {
            let mut same =
                masters.iter().filter(|key| root.is(&Root::new(store, key, root.id().clone(), root.state()).check()));
            same.next().map(|key| MasterKey { id: root.id().clone(), key: key.key.clone() })
        };
        self.keyring.roots().filter_map(|root| given(&root)).collect()
    }

    /// The names of the store.
    pub fn open_names(&self) -> Result<Names> {
        Names::new(self.keyring.store(), &self.name_key, self.names)
    }

    /// `wanted`, or the next id after it that this store does not use: `main-key-v1` becomes `main-key-v2`.
    fn free_id(&self, wanted: &KeyId) -> KeyId {
        let text = wanted.as_str();
        let stem = text.trim_end_matches(|digit: char| digit.is_ascii_digit());
        let first: u64 = text.get(stem.len()..).and_then(|digits| digits.parse().ok()).unwrap_or(1);
        let free = |id: &KeyId| self.keyring.find(id.as_str()).is_none();
        let numbered = (first..u64::MAX).filter_map(|number| KeyId::parse(&format!("{stem}{number}")).ok());
        std::iter::once(wanted.clone()).chain(numbered).find(free).unwrap_or_else(|| wanted.clone())
    }

    /// The two lines of this generation; `iv` must be fresh.
    fn to_bytes(&self, iv: [u8; 12]) -> Result<Bytes> {
        let store = self.keyring.store();
        let active = self.keyring.active();
        let payload = Payload { msg: self.name_key.expose(), aad: &associated(store, self.generation) };
        let sealed = cipher(&active)?.encrypt(&Nonce::from(iv), payload);
        let mut roots: Vec<_> = self.keyring.roots().collect();
        roots.sort_by_key(|root| root.id().clone());
        let line = Line {
            format: FORMAT,
            store_id: store.to_string(),
            generation: self.generation,
            names: self.names,
            keys: roots
                .iter()
                .map(|root| KeyLine {
                    key_id: root.id().clone(),
                    state: root.state(),
                    check: HEXLOWER.encode(&root.check()),
                })
                .collect(),
            name_key: NameKeyLine {
                key_id: active.id().clone(),
                iv: HEXLOWER.encode(&iv),
                ct: HEXLOWER.encode(&sealed.map_err(|_| Error::internal("AES-GCM refused to encrypt"))?),
            },
        };
        let mut bytes =
            serde_json::to_vec(&line).map_err(|error| Error::internal("no superblock").with_source(error))?;
        let mac = mac(&active, &bytes)?.finalize().into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(HEXLOWER.encode(&mac).as_bytes());
        bytes.push(b'\n');
        Ok(bytes.into())
    }

    /// Opens what lies in the place of a generation, which must be that one: an older one there is as if later changes
    /// had not been.
    pub fn open_as(generation: u64, bytes: &[u8], masters: &[MasterKey]) -> Result<Self> {
        let superblock = Self::open(bytes, masters)?;
        match superblock.generation == generation {
            true => Ok(superblock),
            false => Err(damaged(&format!("generation {} lies in the place of {generation}", superblock.generation))),
        }
    }

    /// Opens the two lines with the master keys at hand, recognising each by its check value.
    pub fn open(bytes: &[u8], masters: &[MasterKey]) -> Result<Self> {
        let (line, mac_hex) = split_lines(bytes)?;
        let parsed: Line = serde_json::from_slice(line).map_err(|error| damaged(&error.to_string()))?;
        if parsed.format != FORMAT {
            let message = format!(
                "the store has format {}, and this version knows {FORMAT}; open it with the version that wrote it",
                parsed.format
            );
            return Err(Error::damaged(message).with_code("unknown_format"));
        }
        let store = StoreId(fixed(&parsed.store_id)?);
        let roots = parsed.keys.iter().map(|key| recognise(store, key, masters)).collect::<Result<Vec<_>>>()?;
        let keyring = Keyring::new(store, roots).map_err(|_| damaged("it does not name exactly one active key"))?;
        mac(&keyring.active(), line)?
            .verify_slice(&HEXLOWER.decode(mac_hex).map_err(|_| damaged("its second line is not hex"))?)
            .map_err(|_| damaged("it does not pass its authentication code"))?;
        let name_key = open_name_key(&keyring, parsed.generation, &parsed.name_key)?;
        Ok(Self { generation: parsed.generation, names: parsed.names, keyring, name_key })
    }

    /// Writes this generation; a `Conflict` means that another process was first.
    pub async fn write(&self, storage: &dyn Storage) -> Result<()> {
        let mut iv = [0; 12];
        fill_random(&mut iv)?;
        let object = Object::Public(Public::new(self.to_bytes(iv)?));
        storage.put(&superblock_name(self.generation), &object, &Expect::Absent).await?;
        Ok(())
    }
}

/// The bytes of a store's newest superblock; `None` in a new store. Data without a superblock is damage: a second one would
/// make it unreadable for good. A copy that was not finished is no store.
pub async fn read(storage: &dyn Storage) -> Result<Option<(u64, Bytes)>> {
    let names: Vec<_> = storage.list(Space::Store, &Group::none()).try_collect().await?;
    if names.iter().any(|listed| &*listed.name == copying::MARK) {
        let message = "this is the copy of a store that was cut short; run the same `deltadb migrate` again";
        return Err(Error::new(ErrorKind::Invalid, message).with_code("unfinished_copy"));
    }
    let Some(newest) = names.iter().filter_map(|listed| generation_of(&listed.name)).max() else {
        return refuse_data(storage).await.map(|()| None);
    };
    let stored = storage.get(&superblock_name(newest)).await?;
    let stored = stored.ok_or_else(|| Error::unavailable("the superblock was replaced while it was read"))?;
    Ok(Some((newest, stored.bytes)))
}

/// The generation of a store's newest superblock, unread; `None` in a new store.
pub async fn newest(storage: &dyn Storage) -> Result<Option<u64>> {
    let names: Vec<_> = storage.list(Space::Store, &Group::none()).try_collect().await?;
    Ok(names.iter().filter_map(|listed| generation_of(&listed.name)).max())
}

/// The store that a superblock says it is of, authentic or not.
pub fn claimed_store(bytes: &[u8]) -> Option<String> {
    Claims::of(bytes).ok().map(|claims| claims.store_id)
}

async fn refuse_data(storage: &dyn Storage) -> Result<()> {
    for space in [Space::Entities, Space::History, Space::Auth, Space::Databases] {
        if !storage.groups(space).await?.is_empty() {
            return Err(damaged(&format!("it is gone, and there is data in {}", space.as_str())));
        }
    }
    Ok(())
}

/// The generation that an object's name stands for.
pub(crate) fn generation_of(name: &str) -> Option<u64> {
    let number = name.strip_prefix("format.")?.parse().ok()?;
    (&*superblock_name(number).name == name).then_some(number)
}

fn recognise(store: StoreId, key: &KeyLine, masters: &[MasterKey]) -> Result<Root> {
    let check: [u8; 16] = fixed(&key.check)?;
    let mut candidates = masters.iter().map(|master| Root::new(store, master, key.key_id.clone(), key.state));
    if let Some(root) = candidates.find(|root| root.is(&check)) {
        return Ok(root);
    }
    let id = &key.key_id;
    let (code, message) = match (key.state, masters.is_empty()) {
        (KeyState::Active, true) => (
            "missing_master_key",
            format!("this store needs its master key {id}; give it with --master-key-file FILE or MASTER_KEY=HEX"),
        ),
        (KeyState::Active, false) => (
            "wrong_master_key",
            format!(
                "the given master key is not {id} of this store; give that one, \
                 or to replace it give the new key and also --previous-key {id}=HEX"
            ),
        ),
        (KeyState::Decrypt, _) => (
            "missing_master_key",
            format!("this store still holds data under its earlier master key {id}; give --previous-key {id}=HEX too"),
        ),
    };
    Err(Error::new(ErrorKind::Invalid, message).with_code(code))
}

fn open_name_key(keyring: &Keyring, generation: u64, line: &NameKeyLine) -> Result<Secret<64>> {
    let root = keyring.find(line.key_id.as_str()).ok_or_else(|| damaged("its name key is under an unknown key"))?;
    let sealed = HEXLOWER.decode(line.ct.as_bytes()).map_err(|_| damaged("its name key is not hex"))?;
    let payload = Payload { msg: &sealed, aad: &associated(keyring.store(), generation) };
    let plain = cipher(&root)?.decrypt(&Nonce::from(fixed(&line.iv)?), payload);
    let plain = Zeroizing::new(plain.map_err(|_| damaged("its name key does not open"))?);
    Secret::from_slice(&plain).ok_or_else(|| damaged("its name key has a wrong length"))
}

fn split_lines(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    match (lines.next(), lines.next(), lines.next(), lines.next()) {
        (Some(line), Some(mac), Some(b""), None) => Ok((line, mac)),
        _ => Err(damaged("it is not two lines")),
    }
}

fn associated(store: StoreId, generation: u64) -> Vec<u8> {
    [store.0.as_slice(), &generation.to_le_bytes()].concat()
}

fn cipher(root: &Root) -> Result<Aes256Gcm> {
    let key: Secret<32> = root.derive("ddb1/wrap");
    Aes256Gcm::new_from_slice(key.expose()).map_err(|_| Error::internal("no AES-256 key"))
}

fn mac(root: &Root, line: &[u8]) -> Result<Hmac<Sha256>> {
    let key: Secret<32> = root.derive("ddb1/mac");
    let mac = Hmac::<Sha256>::new_from_slice(key.expose()).map_err(|_| Error::internal("no HMAC key"))?;
    Ok(mac.chain_update(line))
}

fn fixed<const N: usize>(hex: &str) -> Result<[u8; N]> {
    let bytes = HEXLOWER.decode(hex.as_bytes()).map_err(|_| damaged("a value is not lower-case hex"))?;
    bytes.try_into().map_err(|_| damaged("a value has a wrong length"))
}

fn damaged(how: &str) -> Error {
    Error::damaged(format!("the superblock is damaged: {how}{ADVICE}")).with_code("damaged_superblock")
}

#[cfg(test)]
#[path = "superblock_tests.rs"]
mod tests;
