//! Whose directory it is, and which directories are no store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use delta_core::ErrorKind;
use delta_core::storage::Storage;
use delta_storage_embedded::{Config, EmbeddedStorage};

use crate::support::{assert_passed, fill, helper_directory, open, run_helper, try_open, verify};

fn store() -> (tempfile::TempDir, std::path::PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("a").join("store");
    (parent, directory)
}

#[track_caller]
fn assert_taken(directory: &Path) {
    let error = try_open(directory).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let message = error.to_string();
    assert!(message.contains(directory.to_str().unwrap()) && message.contains("another process"), "{message}");
    assert!(!message.contains('\n'));
}

#[tokio::test]
async fn a_second_opening_is_refused_until_the_first_is_gone() {
    let (_parent, directory) = store();
    let first = open(&directory).unwrap();
    let filled = fill(&first, 3).await;
    assert_taken(&directory);
    first.close().await.unwrap();
    assert_taken(&directory);
    drop(first);
    verify(&open(&directory).unwrap(), &filled).await;
}

#[test]
fn a_second_process_is_refused() {
    let (_parent, directory) = store();
    let _first = open(&directory).unwrap();
    assert_passed(&run_helper(&[], "directory::helper_is_refused", &directory));
}

#[test]
#[ignore = "run by another test"]
fn helper_is_refused() {
    if let Some(directory) = helper_directory() {
        assert_taken(&directory);
    }
}

#[test]
fn nobody_else_gets_in() {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let (parent, directory) = store();
    // Made before by somebody less careful.
    fs::create_dir_all(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    drop(open(&directory).unwrap());
    let made = parent.path().join("made");
    drop(open(&made).unwrap());
    for directory in [directory, made] {
        for inner in [directory.clone(), directory.join("tree")] {
            assert_eq!(mode(&inner), 0o700, "{}", inner.display());
        }
        for inner in ["lock", "sequence"] {
            assert_eq!(mode(&directory.join(inner)), 0o600, "{inner}");
        }
    }
}

#[track_caller]
fn assert_refused(directory: &Path, says: &str) {
    let error = open(directory).unwrap_err();
    let message = error.to_string();
    assert!(message.contains(directory.to_str().unwrap()) && message.contains(says), "{message}");
    assert!(!message.contains('\n'));
}

#[test]
fn what_is_no_directory_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "text").unwrap();
    assert_refused(&file, "not a directory");
    assert_refused(&file.join("below"), "cannot make");
    assert_refused(Path::new("/proc/store"), "cannot make");
    assert_eq!(fs::read(&file).unwrap(), b"text");
}

#[test]
fn a_directory_with_other_things_in_it_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("thesis.txt"), "text").unwrap();
    assert_refused(parent.path(), "thesis.txt");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "nothing was left in it");
}

#[test]
fn a_directory_that_only_looks_like_a_store_is_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let thesis = parent.path().join("tree/thesis.txt");
    fs::create_dir(parent.path().join("tree")).unwrap();
    fs::write(&thesis, "text").unwrap();
    assert_refused(parent.path(), "damaged");
    assert_eq!(fs::read(&thesis).unwrap(), b"text");
}

#[tokio::test]
async fn a_store_that_was_never_finished_is_made_anew() {
    // What a process leaves that is killed while it makes a store: early, and as late as can be.
    let early = |directory: &Path| {
        fs::create_dir_all(directory.join("tree/keyspaces")).unwrap();
        fs::write(directory.join("tree/0.jnl"), "").unwrap();
        fs::write(directory.join("lock"), "").unwrap();
    };
    let late = |directory: &Path| {
        drop(open(directory).unwrap());
        fs::remove_file(directory.join("sequence")).unwrap();
    };
    for leave in [&early as &dyn Fn(&Path), &late] {
        let (_parent, directory) = store();
        leave(&directory);
        let storage = open(&directory).unwrap();
        let filled = fill(&storage, 3).await;
        drop(storage);
        verify(&open(&directory).unwrap(), &filled).await;
    }
}

#[test]
fn limits_that_cannot_work_are_refused_by_name() {
    let (_parent, directory) = store();
    let with = |change: fn(&mut Config)| {
        let mut config = Config::new(&directory);
        change(&mut config);
        EmbeddedStorage::open(&config).unwrap_err()
    };
    let refusals = [
        ("journal_bytes", with(|config| config.journal_bytes = 1 << 20)),
        ("write_buffer_bytes", with(|config| config.write_buffer_bytes = 0)),
        ("commit_writes_max", with(|config| config.commit_writes_max = 0)),
        ("waiting_writes_max", with(|config| config.waiting_writes_max = 0)),
        ("waiting_bytes_max", with(|config| config.waiting_bytes_max = 0)),
    ];
    for (field, error) in refusals {
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "invalid_setting"));
        assert!(error.to_string().contains(field), "{error}");
    }
    assert!(!directory.exists());
}

#[tokio::test]
async fn the_registry_opens_it_and_names_unknown_fields() {
    let (_parent, directory) = store();
    let settings = || delta_core::plugin::Settings::default().with("path", directory.to_str().unwrap());
    let storage = delta_core::plugin::open_storage("embedded", settings()).await.unwrap();
    storage.ready().await.unwrap();
    let error = delta_core::plugin::open_storage("embedded", settings().with("cache", 7)).await.unwrap_err();
    assert!(error.to_string().contains("plug-in embedded") && error.to_string().contains("`cache`"), "{error}");
}
