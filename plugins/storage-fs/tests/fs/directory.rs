//! The directory: who may have it, what is refused, what is left in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use delta_core::conformance::{self, object};
use delta_core::storage::{Expect, ObjectName, Space, Storage};
use delta_core::{ErrorKind, Result};
use delta_storage_fs::{Access, Config, FsStorage, Sidecar};

use crate::support::{name, open};

/// Every file and directory below a directory.
fn walk(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![directory.to_owned()];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

fn refusal(result: Result<FsStorage>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    error.to_string()
}

#[test]
fn whoever_is_alone_keeps_the_others_out_and_the_other_way_round() {
    let directory = tempfile::tempdir().unwrap();
    let alone = open(directory.path(), Access::Alone).unwrap();
    for access in [Access::Alone, Access::Shared] {
        assert!(refusal(open(directory.path(), access)).contains("--multi-main"));
    }
    drop(alone);
    let shared = [(); 2].map(|()| open(directory.path(), Access::Shared).unwrap());
    assert!(refusal(open(directory.path(), Access::Alone)).contains("--multi-main"));
    drop(shared);
    open(directory.path(), Access::Alone).unwrap();
}

#[test]
fn a_main_is_the_only_one_beside_workers_unless_all_mains_share() {
    let directory = tempfile::tempdir().unwrap();
    let as_what = |access| open(directory.path(), access);
    let _workers = [(); 2].map(|()| as_what(Access::Worker).unwrap());
    let main = as_what(Access::Main).unwrap();
    for other in [Access::Main, Access::Shared, Access::Alone] {
        assert!(refusal(as_what(other)).contains("--multi-main"), "{other:?}");
    }
    drop(main);
    let _shared = [(); 2].map(|()| as_what(Access::Shared).unwrap());
    assert!(refusal(as_what(Access::Main)).contains("--multi-main"));
    assert!(as_what(Access::Worker).is_ok());
}

#[test]
fn a_directory_with_other_things_in_it_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("thesis.tex"), "mine").unwrap();
    let error = open(directory.path(), Access::Alone).unwrap_err();
    assert_eq!(error.code(), "not_a_store");
    assert!(error.to_string().contains("thesis.tex"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let file = directory.path().join("thesis.tex");
    assert_eq!(open(&file, Access::Alone).unwrap_err().code(), "not_a_store");
}

#[test]
fn a_directory_with_dropped_schemas_is_a_new_store() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("templates")).unwrap();
    fs::create_dir_all(directory.path().join("files")).unwrap();
    fs::write(directory.path().join("templates/chat.json"), "{}").unwrap();
    open(directory.path(), Access::Alone).unwrap();
}

#[tokio::test]
async fn only_the_owner_can_read_and_no_temporary_file_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/store");
    let storage = FsStorage::open(&Config { sidecar: Sidecar::Sync, ..Config::new(&path) }).unwrap();
    for (at, space) in Space::ALL.into_iter().enumerate() {
        let name = ObjectName { space, ..name("some") };
        storage.put(&name, &object(at as u64, 10), &Expect::Absent).await.unwrap();
    }
    storage.delete(&ObjectName { space: Space::Auth, ..name("some") }, &Expect::Anything).await.unwrap();
    drop(storage);
    let files = walk(&path);
    assert!(files.iter().any(|file| file.ends_with("files/0123abcd/s/some.meta.json")), "{files:?}");
    for file in files {
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if file.is_dir() { 0o700 } else { 0o600 }, "{}", file.display());
        assert!(!file.file_name().unwrap().to_str().unwrap().starts_with(".t-"), "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_after_closing() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Arc::new(open(directory.path(), Access::Alone).unwrap());
    let put = |at: u64| {
        let storage = storage.clone();
        tokio::spawn(async move { storage.put(&name(&format!("k{at}")), &object(at, 10), &Expect::Absent).await })
    };
    let puts: Vec<_> = (0..16).map(put).collect();
    let is_begun = || walk(directory.path()).iter().any(|path| path.to_string_lossy().contains("/.t-"));
    while !is_begun() && !puts.iter().all(tokio::task::JoinHandle::is_finished) {
        tokio::task::yield_now().await;
    }
    storage.close().await.unwrap();
    let closed = walk(directory.path());
    for (at, put) in puts.into_iter().enumerate() {
        let file = format!("k{at}.json.enc");
        assert_eq!(put.await.unwrap().is_ok(), closed.iter().any(|path| path.ends_with(&file)), "{file}");
    }
    assert_eq!(walk(directory.path()), closed);
}

#[tokio::test]
async fn a_sidecar_follows_its_entity() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path(), Access::Alone).unwrap();
    let sidecar = directory.path().join("files/0123abcd/s/some.meta.json");
    for version in 1..4_u64 {
        storage.put(&name("some"), &object(version - 1, 10), &Expect::Anything).await.unwrap();
        storage.put(&name("other"), &object(0, 10), &Expect::Anything).await.unwrap();
    }
    storage.delete(&name("other"), &Expect::Anything).await.unwrap();
    storage.close().await.unwrap();
    let json: serde_json::Value = serde_json::from_slice(&fs::read(sidecar).unwrap()).unwrap();
    assert_eq!(json["version"], 3);
    assert!(!directory.path().join("files/0123abcd/o/other.meta.json").exists());
}

#[test]
fn what_a_dead_process_left_is_removed_and_what_a_live_one_needs_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let live = open(directory.path(), Access::Shared).unwrap();
    let locks = directory.path().join("_locks");
    let is_instance = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with("i-");
    let instance = walk(&locks).into_iter().find(|path| is_instance(path)).unwrap();
    let id = instance.file_name().unwrap().to_str().unwrap().trim_start_matches("i-").to_owned();
    let shard = directory.path().join("files/0123abcd/s");
    fs::create_dir_all(&shard).unwrap();
    let (needed, left) = (shard.join(format!(".t-{id}-7")), shard.join(".t-00000000deadbeef-1"));
    let without_file = directory.path().join("_auth/.t-0000000000000bad-s1");
    for file in [&needed, &left, &without_file] {
        fs::write(file, "half").unwrap();
    }
    // Last, because whoever sees it removes what belongs to it.
    fs::write(locks.join("i-00000000deadbeef"), "").unwrap();
    let other = open(directory.path(), Access::Shared).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while left.exists() || without_file.exists() || locks.join("i-00000000deadbeef").exists() {
        assert!(std::time::Instant::now() < deadline, "{:?}", walk(directory.path()));
        std::thread::yield_now();
    }
    assert!(needed.exists());
    drop((live, other));
    assert!(!walk(&locks).iter().any(|path| is_instance(path)), "{:?}", walk(&locks));
}

#[tokio::test]
async fn what_is_put_aside_is_kept_beside_earlier_ones() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path(), Access::Alone).unwrap();
    let mut images = Vec::new();
    for seed in 0..2 {
        let object = object(seed, 10);
        storage.put(&name("some"), &object, &Expect::Absent).await.unwrap();
        storage.quarantine(&name("some")).await.unwrap();
        images.push(object.bytes().clone());
    }
    let mut kept: Vec<_> =
        walk(&directory.path().join("_quarantine")).into_iter().filter(|path| path.is_file()).collect();
    kept.sort();
    assert_eq!(kept.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), images);
}

#[tokio::test]
async fn a_plain_name_too_long_for_a_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path(), Access::Alone).unwrap();
    let name = ObjectName { sealed: false, ..conformance::name(Space::Entities, "db", &"k".repeat(300)) };
    let error = storage.put(&name, &object(1, 10), &Expect::Absent).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "invalid_key"));
}
