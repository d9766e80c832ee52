//! `deltadb fsck`: it finds exactly what is damaged, says whose it is, and moves it aside only when told.

mod embedded;
mod fs;
mod superblocks;

use std::collections::BTreeSet;
use std::path::PathBuf;

use delta_core::address::{Names, superblock_name};
use delta_core::conformance;
use delta_core::keys::MasterKey;
use delta_core::name::{DatabaseName, EntityId, EntityKey, KeyId};
use delta_core::storage::{Expect, ObjectName, Storage};
use delta_core::superblock::{self, Superblock};
use delta_storage_embedded::{Config, EmbeddedStorage};
use delta_tests::server::Server;
use delta_tests::start::{Finished, MASTER_KEY, Start};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{PROGRAM, data};

/// How `deltadb fsck` is run over the data of a test, with the same key as its servers.
fn fsck(directory: &TempDir, arguments: &[&str]) -> Start {
    let start = Start::bare(PROGRAM, &["fsck"]).args(arguments);
    start.variable("DELTADB_DATA_DIR", data(directory)).variable("MASTER_KEY", MASTER_KEY)
}

/// What a check printed with `--json`: its findings, and its summary.
#[track_caller]
fn said(finished: &Finished) -> (Vec<Value>, Value) {
    assert_eq!(finished.stderr, "", "{finished:?}");
    let parse =
        |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    let mut lines: Vec<Value> = finished.stdout.lines().map(parse).collect();
    let mut summary = lines.pop().unwrap_or_else(|| panic!("nothing was said: {finished:?}"));
    lines.retain(|line| line["note"].is_null());
    assert!(lines.iter().all(|line| line["finding"].is_string()), "{finished:?}");
    (lines, summary["summary"].take())
}

/// The entities that a check found damaged, as database and key; anything else that it found fails the test.
#[track_caller]
fn damaged(finished: &Finished) -> BTreeSet<(String, String)> {
    let (findings, summary) = said(finished);
    assert_eq!(finished.code, Some(if findings.is_empty() { 0 } else { 2 }), "{finished:?}");
    assert_eq!(summary["clean"], json!(findings.is_empty()), "{finished:?}");
    let whose = |finding: &Value| {
        assert_eq!((&finding["finding"], &finding["kind"]), (&json!("damaged"), &json!("entities")), "{finished:?}");
        let text =
            |member: &str| finding[member].as_str().unwrap_or_else(|| panic!("no {member}: {finding}")).to_owned();
        (text("database"), text("key"))
    };
    let found: BTreeSet<_> = findings.iter().map(whose).collect();
    assert_eq!(found.len(), findings.len(), "one finding for each: {finished:?}");
    found
}

/// Writes entities into several databases, one of them under a name that is too long to be opened.
fn fill(server: &Server, each: usize, longest: usize) -> BTreeSet<(String, String)> {
    let mut client = server.admin();
    let mut written = BTreeSet::new();
    for database in ["chat", "a_b", "users.v2"] {
        for at in 0..each {
            let key = if at == 0 { "k".repeat(longest) } else { format!("key {at}_ü") };
            let body = json!({key.clone(): {"at": at, "text": "x".repeat(at * 7)}}).to_string();
            client.put(&format!("/entity/{database}"), body).expect(200);
            written.insert((database.to_owned(), key));
        }
    }
    written
}

/// The status of an entity.
fn status(server: &Server, (database, key): &(String, String)) -> u16 {
    let key: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
    server.admin().get(&format!("/entity/{database}?key={key}")).status
}

/// A store of `embedded` that no server has open.
struct AtRest {
    storage: EmbeddedStorage,
    runtime: tokio::runtime::Runtime,
}

impl AtRest {
    fn open(directory: &TempDir) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let storage = runtime.block_on(async { EmbeddedStorage::open(&Config::new(store(directory))).unwrap() });
        Self { storage, runtime }
    }

    fn get(&self, name: &ObjectName) -> Vec<u8> {
        self.runtime.block_on(self.storage.get(name)).unwrap().unwrap().bytes.to_vec()
    }

    /// Replaces an object by any bytes.
    fn put(&self, name: &ObjectName, image: Vec<u8>) {
        let object = conformance::public(image);
        self.runtime.block_on(self.storage.put(name, &object, &Expect::Anything)).unwrap();
    }

    /// Changes the newest superblock.
    fn change_superblock(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let (generation, bytes) = self.runtime.block_on(superblock::read(&self.storage)).unwrap().unwrap();
        let mut bytes = bytes.to_vec();
        change(&mut bytes);
        self.put(&superblock_name(generation), bytes);
    }

    fn names(&self) -> Names {
        let (_, bytes) = self.runtime.block_on(superblock::read(&self.storage)).unwrap().unwrap();
        let master = MasterKey::from_hex(KeyId::parse("main-key-v1").unwrap(), MASTER_KEY).unwrap();
        Superblock::open(&bytes, &[master]).unwrap().open_names().unwrap()
    }

    fn entity(&self, (database, key): &(String, String)) -> ObjectName {
        let id = EntityId::new(DatabaseName::parse(database).unwrap(), EntityKey::parse(key).unwrap());
        self.names().entity(&id).object
    }
}

impl Drop for AtRest {
    fn drop(&mut self) {
        drop(self.runtime.block_on(self.storage.close()));
    }
}

/// Where `serve` keeps the store of a test.
fn store(directory: &TempDir) -> PathBuf {
    data(directory).join("store")
}
