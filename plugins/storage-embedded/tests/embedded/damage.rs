//! What is not all there does not open, and is left as it was found.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use delta_core::ErrorKind;
use delta_core::conformance;
use delta_core::storage::{Expect, ObjectName, Storage};
use delta_storage_embedded::EmbeddedStorage;

use crate::support::{fill, logs, name, open, open_with_small_buffers, verify};

mod tables;

const COMMITS: u64 = 12;

struct Store {
    directory: tempfile::TempDir,
    filled: Vec<(ObjectName, bytes::Bytes)>,
}

impl Store {
    async fn new() -> Self {
        Self::with(COMMITS).await
    }

    async fn with(commits: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let storage = open(directory.path()).unwrap();
        let filled = fill(&storage, commits).await;
        Self { directory, filled }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn log(&self) -> PathBuf {
        logs(self.path()).pop().unwrap()
    }

    /// The log without the unused space behind it.
    fn log_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        fs::File::open(self.log()).unwrap().take(1 << 20).read_to_end(&mut bytes).unwrap();
        bytes.truncate(bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1);
        bytes
    }

    #[track_caller]
    fn assert_damaged(&self, what: &str) -> String {
        let error = open(self.path()).expect_err(what);
        let message = error.to_string();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Damaged, "damaged_store"), "{what}: {message}");
        assert!(message.contains(self.path().to_str().unwrap()) && message.contains("restore a backup"), "{message}");
        assert!(!message.contains('\n'));
        message
    }

    /// Opens the store, finds everything, and writes on.
    async fn assert_whole(&self, what: &str) {
        let storage = open(self.path()).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        verify(&storage, &self.filled).await;
        storage.put(&name("more"), &conformance::object(0, 10), &Expect::Anything).await.unwrap();
        drop(storage);
        verify(&open(self.path()).unwrap(), &self.filled).await;
    }
}

fn write_at(path: &Path, bytes: &[u8], at: u64) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all_at(bytes, at)
}

#[tokio::test]
async fn a_flipped_byte_in_the_log_is_refused_or_harmless() {
    let store = Store::new().await;
    let (log, whole) = (store.log(), store.log_bytes());
    let mut refused = 0;
    let mut opened = 0;
    for at in (0..whole.len()).step_by(23).chain([0, 1, 5, whole.len() - 1]) {
        write_at(&log, &[whole[at] ^ 0x10], at as u64).unwrap();
        match open(store.path()) {
            Err(_) => {
                store.assert_damaged(&format!("byte {at} flipped"));
                let mut found = store.log_bytes();
                found[at] ^= 0x10;
                assert!(found == whole, "what is refused is left as it was found");
                refused += 1;
            }
            // The tree's own rank of a batch has no checksum; only its order counts.
            Ok(storage) => {
                verify(&storage, &store.filled).await;
                opened += 1;
            }
        }
        write_at(&log, &whole[at..=at], at as u64).unwrap();
    }
    assert!(refused > 20 * opened, "{refused} refused, {opened} opened");
    store.assert_whole("as it was").await;
}

#[tokio::test]
async fn a_damaged_only_commit_is_refused_and_left_as_it_was_found() {
    let store = Store::with(1).await;
    let (log, whole) = (store.log(), store.log_bytes());
    for at in [0, 1, 13, 40, whole.len() - 1] {
        write_at(&log, &[whole[at] ^ 1], at as u64).unwrap();
        store.assert_damaged(&format!("byte {at} flipped"));
        write_at(&log, &whole[at..=at], at as u64).unwrap();
        assert!(store.log_bytes() == whole, "what is refused is left as it was found");
    }
    store.assert_whole("as it was").await;
}

#[tokio::test]
async fn a_first_commit_that_was_torn_is_dropped() {
    let (store, other) = (Store::with(0).await, Store::with(1).await);
    let first = other.log_bytes();
    for torn in [1, 20, 60, first.len() - 1] {
        write_at(&store.log(), &first[..torn], 0).unwrap();
        drop(open(store.path()).unwrap());
    }
    store.assert_whole("nothing").await;
}

/// Where each commit of a log ends.
fn ends(log: &[u8]) -> Vec<usize> {
    log.windows(4).enumerate().filter(|(_, bytes)| bytes == b"FJL\x03").map(|(at, _)| at + 4).collect()
}

#[tokio::test]
async fn a_commit_that_is_missing_in_the_middle_is_refused() {
    let store = Store::new().await;
    let (log, whole) = (store.log(), store.log_bytes());
    let ends = ends(&whole);
    fs::write(&log, [&whole[..ends[3]], &whole[ends[4]..]].concat()).unwrap();
    store.assert_damaged("without the fifth commit");
    fs::write(&log, &whole).unwrap();
    store.assert_whole("as it was").await;
}

#[tokio::test]
async fn a_commit_that_would_hide_behind_an_older_one_is_refused() {
    let mut store = Store::with(1).await;
    let storage = open(store.path()).unwrap();
    // Over what the first commit wrote, and something after it.
    let (overwritten, object) = (store.filled[0].0.clone(), conformance::object(7, 100));
    storage.put(&overwritten, &object, &Expect::Anything).await.unwrap();
    store.filled[0].1 = object.bytes().clone();
    storage.put(&name("after"), &object, &Expect::Anything).await.unwrap();
    drop(storage);
    let (log, whole) = (store.log(), store.log_bytes());
    // The rank follows the mark of the start and the number of items. No checksum covers it.
    let rank = ends(&whole)[0] as u64 + 5;
    write_at(&log, &[0; 8], rank).unwrap();
    store.assert_damaged("a lower rank");
    fs::write(&log, &whole).unwrap();
    // The highest bit of the last one is the tree's own.
    let last = ends(&whole)[1] as u64 + 12;
    write_at(&log, &[whole[last as usize] ^ 0x80], last).unwrap();
    store.assert_damaged("a rank that the tree does not take");
    fs::write(&log, &whole).unwrap();
    store.assert_whole("as it was").await;
}

#[tokio::test]
async fn a_log_that_ends_early_is_refused() {
    let store = Store::new().await;
    let (log, whole) = (store.log(), store.log_bytes());
    let size = fs::metadata(&log).unwrap().len();
    // Some of these are between two commits, where nothing looks torn.
    let ends = ends(&whole);
    assert_eq!(ends.len(), COMMITS as usize);
    for cut in ends.iter().take(COMMITS as usize - 1).copied().chain([0, 1, whole.len() / 2, whole.len() - 1]) {
        for pads in [false, true] {
            let file = OpenOptions::new().write(true).open(&log).unwrap();
            file.set_len(cut as u64).unwrap();
            file.set_len(if pads { size } else { cut as u64 }).unwrap();
            store.assert_damaged(&format!("cut at {cut}, padded: {pads}"));
            file.write_all_at(&whole, 0).unwrap();
        }
    }
    fs::remove_file(&log).unwrap();
    store.assert_damaged("no log");
    fs::write(&log, &whole).unwrap();
    store.assert_whole("as it was").await;
}

#[tokio::test]
async fn a_commit_that_was_torn_before_it_was_acknowledged_is_dropped() {
    let store = Store::new().await;
    let (log, whole) = (store.log(), store.log_bytes());
    // The next commit: the last one again, with the next rank and number.
    let before = ends(&whole)[COMMITS as usize - 2];
    let mut next = whole[before..].to_vec();
    next[5] += 1;
    let number = next.windows(9).position(|bytes| bytes == b"#sequence").unwrap() + 9;
    assert_eq!(u64::from(next[number]), COMMITS);
    next[number] += 1;
    // Its end is missing; its middle never reached the disk; only its values differ, as its checksum shows.
    let mut holed = next.clone();
    holed[60..300].fill(0);
    for (what, torn) in [("end", &next[..next.len() / 2]), ("start", &next[..1]), ("hole", &holed), ("values", &next)] {
        write_at(&log, torn, whole.len() as u64).unwrap();
        store.assert_whole(what).await;
        fs::write(&log, &whole).unwrap();
        fs::write(store.path().join("sequence"), sequence_file(COMMITS)).unwrap();
    }
}

fn sequence_file(number: u64) -> Vec<u8> {
    let slot = |number: u64| {
        let crc = crc32c::crc32c(&number.to_le_bytes());
        [&number.to_le_bytes()[..], &crc.to_le_bytes(), &[0; 4]].concat()
    };
    let mut slots = [slot(number - 1), slot(number)];
    slots.rotate_left(number as usize % 2);
    slots.concat()
}

#[tokio::test]
async fn a_number_that_is_older_than_the_tree_is_no_loss() {
    let store = Store::new().await;
    // After a power cut the small file may be from some seconds ago.
    fs::write(store.path().join("sequence"), sequence_file(4)).unwrap();
    store.assert_whole("an older number").await;
}

#[tokio::test]
async fn a_number_that_is_newer_than_the_tree_is_refused() {
    let store = Store::new().await;
    fs::write(store.path().join("sequence"), sequence_file(COMMITS + 1)).unwrap();
    store.assert_damaged("a newer number");
    fs::write(store.path().join("sequence"), sequence_file(COMMITS)).unwrap();
    store.assert_whole("as it was").await;
}

#[tokio::test]
async fn a_lost_number_or_tree_is_refused() {
    let store = Store::new().await;
    let sequence = store.path().join("sequence");
    for damage in [vec![], vec![0; 32], vec![7; 32]] {
        fs::write(&sequence, damage).unwrap();
        store.assert_damaged("no number");
    }
    fs::remove_file(&sequence).unwrap();
    store.assert_damaged("no file");
    fs::write(&sequence, sequence_file(COMMITS)).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(store.path().join("tree"), elsewhere.path().join("tree")).unwrap();
    store.assert_damaged("no tree");
    assert!(!store.path().join("tree").exists(), "a new store in place of a lost one");
    fs::rename(elsewhere.path().join("tree"), store.path().join("tree")).unwrap();
    store.assert_whole("as it was").await;
}

#[tokio::test]
async fn tables_without_a_log_are_not_taken_for_an_unfinished_store() {
    let store = Store::with(0).await;
    let storage = open_with_small_buffers(store.path());
    let large = conformance::object(1, 100_000);
    for number in 0.. {
        storage.put(&name(&format!("large{number}")), &large, &Expect::Absent).await.unwrap();
        if tables(store.path()) > 0 {
            break;
        }
        assert!(number < 1_000, "nothing is moved into tables");
    }
    drop(storage);
    let kept = tables(store.path());
    OpenOptions::new().write(true).open(store.log()).unwrap().set_len(0).unwrap();
    fs::remove_file(store.path().join("sequence")).unwrap();
    store.assert_damaged("only tables");
    assert_eq!(tables(store.path()), kept);
}

/// How many tables there are, without those of the tree's own keyspace.
fn tables(directory: &Path) -> usize {
    let keyspaces = fs::read_dir(directory.join("tree/keyspaces")).unwrap().map(|keyspace| keyspace.unwrap().path());
    let keyspaces = keyspaces.filter(|keyspace| !keyspace.ends_with("0"));
    keyspaces.map(|keyspace| fs::read_dir(keyspace.join("tables")).unwrap().count()).sum()
}

#[tokio::test]
async fn a_flipped_byte_in_an_earlier_log_is_refused() {
    let mut store = Store::new().await;
    let storage = open(store.path()).unwrap();
    let large = conformance::object(1, 1 << 20);
    for number in 0.. {
        let name = name(&format!("large{number}"));
        storage.put(&name, &large, &Expect::Absent).await.unwrap();
        store.filled.push((name, large.bytes().clone()));
        // The tree begins another log when it moves writes into a table and the log has 64 MB.
        if logs(store.path()).len() > 1 {
            break;
        }
        assert!(number < 1_000, "the tree keeps one log");
    }
    drop(storage);
    let log = logs(store.path()).remove(0);
    let middle = fs::metadata(&log).unwrap().len() / 2;
    let mut byte = [0];
    fs::File::open(&log).unwrap().read_exact_at(&mut byte, middle).unwrap();
    write_at(&log, &[byte[0] ^ 1], middle).unwrap();
    store.assert_damaged("an earlier log");
    write_at(&log, &byte, middle).unwrap();
    store.assert_whole("as it was").await;
}
