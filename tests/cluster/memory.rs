//! What is in a worker's memory: what it derived from the keys while it works, and nothing of that once it has drained.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use data_encoding::HEXLOWER;
use delta_tests::cluster::{Worker, eventually};
use delta_tests::memory;
use delta_tests::start::MASTER_KEY;
use hkdf::Hkdf;
use rustix::process::Signal;
use serde_json::Value;
use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

use super::{Cluster, PATIENCE};
use crate::support::{has, skipped};

/// SHA-256 before the first block (FIPS 180-4, section 5.3.3).
const SHA256_BEGIN: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

type Secrets = BTreeMap<&'static str, Vec<u8>>;

fn bytes(json: &Value, member: &str) -> Vec<u8> {
    HEXLOWER.decode(json[member].as_str().unwrap().as_bytes()).unwrap()
}

fn expand(key: &[u8], info: &[u8], length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    Hkdf::<Sha256>::from_prk(key).unwrap().expand(info, &mut out).unwrap();
    out
}

/// What an HMAC under this key keeps of it: as good as the key.
fn hmac_state(key: &[u8]) -> Vec<u8> {
    let mut block = [0x36; 64];
    block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    let mut state = SHA256_BEGIN;
    compress256(&mut state, &[block]);
    state.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Everything that opens something in the store of a cluster with one document in the database `db`, as FORMAT.md derives it.
fn secrets(store: &Path) -> Secrets {
    let master = HEXLOWER.decode(MASTER_KEY.as_bytes()).unwrap();
    let superblock = fs::read_to_string(store.join("_store/format.000001.json")).unwrap();
    let line: Value = serde_json::from_str(superblock.lines().next().unwrap()).unwrap();
    let id = bytes(&line, "store_id");
    let (root, _) = Hkdf::<Sha256>::extract(Some(&id), &master);
    let (wrap, database) = (expand(&root, b"ddb1/wrap", 32), expand(&root, b"ddb1/db\0db", 32));
    let associated = [id.as_slice(), &1_u64.to_le_bytes()].concat();
    let payload = Payload { msg: &bytes(&line["name_key"], "ct"), aad: &associated };
    let iv: [u8; 12] = bytes(&line["name_key"], "iv").try_into().unwrap();
    let names = Aes256Gcm::new_from_slice(&wrap).unwrap().decrypt(&Nonce::from(iv), payload).unwrap();
    let mut images = files(store).into_iter().map(|file| fs::read(file).unwrap());
    let image = images.find(|image| image.starts_with(b"DDB1")).expect("a sealed document");
    let header = &image[..usize::from(u16::from_le_bytes([image[8], image[9]]))];
    let document = expand(&database, &[b"ddb1/doc\0".as_slice(), &Sha256::digest(header)].concat(), 32);
    let all = [
        ("the root's state", hmac_state(&root)),
        ("the database's state", hmac_state(&database)),
        ("the master key in hex", MASTER_KEY.into()),
        ("the database's key", database),
        ("the master key", master),
        ("the root", root.to_vec()),
        ("the key of names at rest", expand(&names, b"ddb1/siv", 64)),
        ("the name key", names),
        ("the wrapping key", wrap),
        ("the key of superblocks", expand(&root, b"ddb1/mac", 32)),
        ("the key of the document", document),
    ];
    assert!(all.iter().all(|(_, secret)| secret.len() >= 32));
    all.into()
}

/// Which of them are in the memory of a process, and how often.
fn found(process: u32, secrets: &Secrets) -> BTreeMap<&'static str, usize> {
    let wanted: Vec<&[u8]> = secrets.values().map(Vec::as_slice).collect();
    let counts = memory::count(process, &wanted).unwrap();
    secrets.keys().copied().zip(counts).filter(|(_, count)| *count > 0).collect()
}

/// A debugger that has a process stand still at its end, when it has dropped all that it had, until `let_go`.
struct Debugger {
    gdb: Child,
    directory: PathBuf,
}

impl Debugger {
    fn attach(process: u32, directory: &Path) -> Self {
        let mut gdb = Command::new("gdb");
        gdb.args(["--readnever", "-nx", "-batch", "-p", &process.to_string()]).current_dir(directory);
        for command in [
            "handle SIGTERM nostop noprint pass",
            "catch syscall exit_group",
            "shell touch attached",
            "continue",
            "shell touch ending; while [ ! -e go ]; do sleep 0.05; done",
            "detach",
        ] {
            gdb.args(["-ex", command]);
        }
        let gdb = gdb.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let this = Self { gdb, directory: directory.into() };
        this.until("attached");
        this
    }

    fn until(&self, file: &str) {
        eventually(file, PATIENCE, || self.directory.join(file).exists());
    }

    fn let_go(mut self) {
        fs::write(self.directory.join("go"), "").unwrap();
        self.gdb.wait().unwrap();
    }
}

#[test]
fn a_worker_that_has_drained_holds_no_key() {
    if !has("gdb") || !rustix::process::geteuid().is_root() {
        return skipped("this needs gdb, and root, because a worker's memory is nobody else's");
    }
    let mut cluster = Cluster::of(1);
    cluster.main.admin().put("/entity/db/k", "\"a document of this test\"").expect(201);
    cluster.main.admin().get("/entity/db/k").expect(200);
    let (secrets, worker): (_, Worker) = (secrets(&cluster.place.store()), cluster.workers.pop().unwrap());
    let at_work = found(worker.id(), &secrets);
    println!("at work: {at_work:?}");
    // What it seals and names with. The keys themselves it does not keep: they are gone once these are derived.
    for held in ["the root's state", "the database's state", "the key of names at rest"] {
        assert!(at_work.contains_key(held), "the search does not find {held}: {at_work:?}");
    }
    for gone in ["the master key", "the master key in hex", "the root"] {
        assert!(!at_work.contains_key(gone), "{gone}: {at_work:?}");
    }
    let debugger = Debugger::attach(worker.id(), cluster.place.store().parent().unwrap());
    worker.signal(Signal::TERM);
    debugger.until("ending");
    let state = fs::read_to_string(format!("/proc/{}/status", worker.id())).unwrap();
    assert!(state.contains("State:\tt"), "it does not stand still: {state}");
    let drained = found(worker.id(), &secrets);
    debugger.let_go();
    assert!(worker.stop().status.success());
    assert_eq!(drained, BTreeMap::new());
}
