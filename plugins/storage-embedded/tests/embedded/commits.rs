//! What a commit costs in calls to the disk.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use delta_core::ErrorKind;
use delta_core::conformance;
use delta_core::storage::{Expect, Storage, Write};
use tokio::sync::Barrier;

use crate::support::{assert_passed, has_strace, helper_directory, name, open, run_helper};

const ALONE_WRITES: usize = 40;
const CLIENTS: u64 = 64;
const EACH_WRITES: u64 = 20;

/// Marks a moment in the trace.
fn mark(what: &str) {
    let _ = std::fs::metadata(format!("/no/such/{what}"));
}

/// The calls between the two marks.
fn calls(trace: &str) -> Vec<&str> {
    let lines = trace.lines().skip_while(|line| !line.contains("/no/such/begin"));
    lines.take_while(|line| !line.contains("/no/such/end")).collect()
}

fn count(calls: &[&str], call: &str) -> usize {
    // A call that another thread interrupts has a second line, "<... fsync resumed>".
    calls.iter().filter(|line| line.contains(&format!(" {call}("))).count()
}

fn trace(helper: &str) -> Option<String> {
    if !has_strace(helper) {
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let calls = "trace=fsync,fdatasync,sync_file_range,msync,stat,statx,newfstatat";
    let wrapper = ["strace", "-f", "-e", calls, "-o"].map(OsStr::new);
    let wrapper = [&wrapper[..], &[trace.as_os_str()]].concat();
    assert_passed(&run_helper(&wrapper, helper, &directory.path().join("store")));
    Some(std::fs::read_to_string(trace).unwrap())
}

#[test]
fn a_lone_write_is_synced_once_with_many_threads() {
    assert_alone("commits::helper_alone_with_many_threads");
}

#[test]
fn a_lone_write_is_synced_once_with_one_thread() {
    assert_alone("commits::helper_alone_with_one_thread");
}

fn assert_alone(helper: &str) {
    let Some(trace) = trace(helper) else { return };
    let calls = calls(&trace);
    assert_eq!(count(&calls, "fdatasync"), ALONE_WRITES, "{calls:#?}");
    for call in ["fsync", "sync_file_range", "msync"] {
        assert_eq!(count(&calls, call), 0, "{calls:#?}");
    }
}

#[test]
fn many_clients_share_syncs() {
    let Some(trace) = trace("commits::helper_many_clients") else { return };
    let (syncs, writes) = (count(&calls(&trace), "fdatasync"), CLIENTS * EACH_WRITES);
    println!("{syncs} fdatasync for {writes} writes of {CLIENTS} clients");
    assert!(syncs > 0 && syncs as u64 * 4 < writes, "{syncs} fdatasync for {writes} writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by other tests"]
async fn helper_alone_with_many_threads() {
    helper_alone().await;
}

#[tokio::test]
#[ignore = "run by other tests"]
async fn helper_alone_with_one_thread() {
    helper_alone().await;
}

/// Puts, deletes and batches one after the other, and among them what needs no sync.
async fn helper_alone() {
    let Some(directory) = helper_directory() else { return };
    let storage = open(&directory).unwrap();
    let object = conformance::object(1, 300);
    mark("begin");
    for number in 0..ALONE_WRITES / 4 {
        let name = |text: &str| name(&format!("{text}{number}"));
        storage.put(&name("a"), &object, &Expect::Absent).await.unwrap();
        let conflict = storage.put(&name("a"), &object, &Expect::Absent).await.unwrap_err();
        assert_eq!(conflict.kind(), ErrorKind::Conflict);
        storage.put(&name("a"), &object, &Expect::Anything).await.unwrap();
        storage.delete(&name("never"), &Expect::Anything).await.unwrap();
        let write = |text| Write { name: name(text), object: Some(object.clone()), expect: Expect::Absent };
        storage.write_batch(vec![write("b"), write("c"), write("d")]).await.unwrap();
        storage.write_batch(vec![write("e"), write("a")]).await.unwrap();
        storage.delete(&name("a"), &Expect::Anything).await.unwrap();
        assert!(storage.get(&name("b")).await.unwrap().is_some());
    }
    mark("end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by other tests"]
async fn helper_many_clients() {
    let Some(directory) = helper_directory() else { return };
    let storage = Arc::new(open(Path::new(&directory)).unwrap());
    let object = conformance::object(1, 300);
    let start = Arc::new(Barrier::new(CLIENTS as usize));
    mark("begin");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (storage, object, start) = (storage.clone(), object.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                for number in 0..EACH_WRITES {
                    let name = name(&format!("c{client}-{number}"));
                    storage.put(&name, &object, &Expect::Absent).await.unwrap();
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    mark("end");
}
