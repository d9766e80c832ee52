//! What lies beside the objects: sidecars are mended, leftovers go, and what is foreign is told of.

use std::fs;
use std::path::Path;

use delta_core::conformance::object;
use delta_core::storage::{Expect, ObjectName, Storage, StrayKind};
use delta_storage_fs::{Access, Config, FsStorage, Sidecar};
use futures::TryStreamExt;

use crate::support::{name, open};

/// What a storage finds, by path below the directory.
async fn strays(storage: &FsStorage, root: &Path) -> Vec<(String, StrayKind)> {
    let strays: Vec<_> = storage.tidy().try_collect().await.unwrap();
    let within = |place: &str| Path::new(place).strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let mut strays: Vec<_> = strays.into_iter().map(|stray| (within(&stray.place), stray.kind)).collect();
    strays.sort();
    strays
}

#[tokio::test]
async fn sidecars_are_mended_leftovers_go_and_what_is_foreign_stays() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let storage = open(root, Access::Alone).unwrap();
    for text in ["whole", "missing", "wrong", "damaged"] {
        storage.put(&name(text), &object(1, 10), &Expect::Absent).await.unwrap();
    }
    let plain = ObjectName { sealed: false, ..name("plain") };
    storage.put(&plain, &object(1, 10), &Expect::Absent).await.unwrap();
    storage.close().await.unwrap();
    drop(storage);

    let group = root.join("files/0123abcd");
    let whole = fs::read(group.join("w/whole.meta.json")).unwrap();
    fs::remove_file(group.join("m/missing.meta.json")).unwrap();
    fs::write(group.join("w/wrong.meta.json"), "{}").unwrap();
    fs::write(group.join("d/damaged.json.enc"), "half an object").unwrap();
    fs::write(group.join("d/gone.meta.json"), "{}").unwrap();
    fs::write(group.join("d/.t-0000000000000bad-3"), "half").unwrap();
    fs::write(group.join("d/whole.json.enc"), "in a wrong place").unwrap();
    fs::write(group.join("notes.txt"), "mine").unwrap();
    fs::write(root.join("files/0123abcd_plain.meta.json"), "").unwrap();
    fs::write(root.join("_auth/thesis.tex"), "mine").unwrap();
    fs::create_dir(root.join("_databases/deeper")).unwrap();
    fs::create_dir(root.join("old")).unwrap();
    // A directory with other things in it is only opened if it is a store.
    fs::write(root.join("_store/format.000001.json"), "{}").unwrap();

    let storage = open(root, Access::Alone).unwrap();
    let foreign =
        ["_auth/thesis.tex", "_databases/deeper", "files/0123abcd/d/whole.json.enc", "files/0123abcd/notes.txt", "old"];
    let foreign: Vec<_> = foreign.into_iter().map(|path| (path.to_owned(), StrayKind::Foreign)).collect();
    let mut expected = foreign.clone();
    expected.extend(
        [
            ("files/0123abcd/d/.t-0000000000000bad-3", StrayKind::Leftover),
            ("files/0123abcd/d/gone.meta.json", StrayKind::Orphan),
            ("files/0123abcd/m/missing.json.enc", StrayKind::Renewed),
            ("files/0123abcd/w/wrong.json.enc", StrayKind::Renewed),
            ("files/0123abcd_plain.json.enc", StrayKind::Renewed),
        ]
        .map(|(path, kind)| (path.to_owned(), kind)),
    );
    expected.sort();
    assert_eq!(strays(&storage, root).await, expected);
    assert_eq!(strays(&storage, root).await, foreign);
    assert_eq!(fs::read(group.join("w/whole.meta.json")).unwrap(), whole);
    for mended in ["m/missing.meta.json", "w/wrong.meta.json"] {
        let json: serde_json::Value = serde_json::from_slice(&fs::read(group.join(mended)).unwrap()).unwrap();
        assert_eq!(json["version"], 2);
    }
    assert_eq!(fs::read(group.join("d/damaged.json.enc")).unwrap(), b"half an object");
}

#[tokio::test]
async fn where_no_sidecars_are_kept_only_wrong_ones_go() {
    let directory = tempfile::tempdir().unwrap();
    let off = Config { sidecar: Sidecar::Off, ..Config::new(directory.path()) };
    let storage = FsStorage::open(&off).unwrap();
    for text in ["none", "wrong"] {
        storage.put(&name(text), &object(1, 10), &Expect::Absent).await.unwrap();
    }
    let sidecar = directory.path().join("files/0123abcd/w/wrong.meta.json");
    fs::write(&sidecar, "{}").unwrap();
    let wrong = ("files/0123abcd/w/wrong.json.enc".to_owned(), StrayKind::Orphan);
    assert_eq!(strays(&storage, directory.path()).await, [wrong]);
    assert!(!sidecar.exists());
    assert_eq!(strays(&storage, directory.path()).await, []);
}
