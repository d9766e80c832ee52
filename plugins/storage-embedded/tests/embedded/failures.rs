//! A disk that fails: the write is unknown, no other is taken, reads go on, and a restart puts it right.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use delta_core::ErrorKind;
use delta_core::conformance;
use delta_core::storage::{Expect, ObjectName, Storage};

use crate::support::{
    assert_passed, has_strace, helper_directory, name, open, open_with_small_buffers, run_helper, verify,
};

/// How many writes are tried at most until one fails.
const WRITES_MAX: u64 = 100;

/// Runs a helper one of whose calls fails, and then looks at what it left.
async fn with_fault(helper: &str, only: Option<&str>, fault: &str) {
    if !has_strace(helper) {
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("store");
    // Made here, so that the helper's calls are its writes.
    drop(open(&directory).unwrap());
    let inject = format!("inject={fault}");
    let file = only.map(|file| directory.join(file));
    let mut wrapper: Vec<&OsStr> = ["strace", "-f", "-o", "/dev/null"].map(OsStr::new).into();
    if let Some(file) = &file {
        wrapper.extend([OsStr::new("-P"), file.as_os_str()]);
    }
    wrapper.extend([OsStr::new("-e"), OsStr::new(&inject)]);
    assert_passed(&run_helper(&wrapper, helper, &directory));
    let storage = open(&directory).unwrap();
    let acknowledged = fs::read_to_string(parent.path().join("acknowledged")).unwrap().parse().unwrap();
    for number in 0..acknowledged {
        let found = storage.get(&numbered(number)).await.unwrap();
        assert!(found.is_some(), "write {number} was acknowledged");
    }
    assert!(storage.get(&name("refused")).await.unwrap().is_none());
    storage.ready().await.unwrap();
    storage.put(&numbered(acknowledged), &conformance::object(1, 10), &Expect::Anything).await.unwrap();
}

fn numbered(number: u64) -> ObjectName {
    name(&format!("n{number}"))
}

// A thread counts its calls by itself, so the third or fourth write fails, wherever commits run.

#[tokio::test]
async fn a_failed_sync_stops_writes_with_many_threads() {
    with_fault("failures::helper_with_many_threads", None, "fdatasync:error=EIO:when=3").await;
}

#[tokio::test]
async fn a_failed_sync_stops_writes_with_one_thread() {
    with_fault("failures::helper_with_one_thread", None, "fdatasync:error=EIO:when=3").await;
}

#[tokio::test]
async fn a_full_disk_stops_writes() {
    with_fault("failures::helper_with_many_threads", Some("tree/0.jnl"), "write:error=ENOSPC:when=3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by other tests"]
async fn helper_with_many_threads() {
    helper().await;
}

#[tokio::test]
#[ignore = "run by other tests"]
async fn helper_with_one_thread() {
    helper().await;
}

async fn helper() {
    let Some(directory) = helper_directory() else { return };
    let storage = open(&directory).unwrap();
    let object = conformance::object(1, 10);
    let mut acknowledged = 0;
    let unknown = loop {
        assert!(acknowledged < WRITES_MAX, "no write failed");
        match storage.put(&numbered(acknowledged), &object, &Expect::Absent).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(acknowledged > 0);
    fs::write(directory.with_file_name("acknowledged"), acknowledged.to_string()).unwrap();
    assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown, "{unknown:?}");
    let seen = storage.get(&numbered(acknowledged)).await.unwrap();
    assert!(seen.is_none(), "what may not be durable was seen");
    for _ in 0..2 {
        let refused = storage.put(&name("refused"), &object, &Expect::Absent).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
        assert!(refused.to_string().contains("restart"), "{refused}");
        let refused = storage.delete(&numbered(0), &Expect::Anything).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
        assert_eq!(storage.ready().await.unwrap_err().kind(), ErrorKind::Unavailable);
        for number in 0..acknowledged {
            assert!(storage.get(&numbered(number)).await.unwrap().is_some(), "reads go on");
        }
    }
    storage.close().await.unwrap();
}

/// Takes the directories of tables away, or puts them back.
fn move_tables(directory: &Path, from: &str, to: &str) {
    for keyspace in fs::read_dir(directory.join("tree/keyspaces")).unwrap() {
        let keyspace = keyspace.unwrap().path();
        fs::rename(keyspace.join(from), keyspace.join(to)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn background_work_that_fails_stops_writes() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("store");
    let storage = open_with_small_buffers(&directory);
    move_tables(&directory, "tables", "away");
    let object = conformance::object(1, 100_000);
    let mut filled = Vec::new();
    let refused = loop {
        let name = name(&format!("n{}", filled.len()));
        match storage.put(&name, &object, &Expect::Absent).await {
            Ok(_) => filled.push((name, object.bytes().clone())),
            Err(error) => break error,
        }
        assert!(filled.len() < 1_000, "nobody noticed");
    };
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    assert!(refused.to_string().contains("restart"), "{refused}");
    assert_eq!(storage.ready().await.unwrap_err().kind(), ErrorKind::Unavailable);
    verify(&storage, &filled).await;
    drop(storage);
    move_tables(&directory, "away", "tables");
    verify(&open_with_small_buffers(&directory), &filled).await;
}

#[tokio::test]
async fn background_work_that_fails_is_told_without_a_write() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("store");
    let storage = open_with_small_buffers(&directory);
    move_tables(&directory, "tables", "away");
    // The last of these fills the buffer.
    for number in 0..11 {
        storage.put(&numbered(number), &conformance::object(1, 100_000), &Expect::Absent).await.unwrap();
    }
    let mut asked = 0;
    let error = loop {
        asked += 1;
        assert!(asked < 1_000_000, "nobody noticed");
        if let Err(error) = storage.ready().await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("tables"), "{error}");
    assert!(storage.get(&numbered(10)).await.unwrap().is_some(), "reads go on");
}
