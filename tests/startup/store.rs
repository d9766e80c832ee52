//! What is wrong with the place: a port, a directory, or what is stored in it.

use std::os::unix::fs::PermissionsExt;

use delta_core::address::superblock_name;
use delta_core::conformance;
use delta_core::storage::{Expect, Storage};
use delta_core::superblock;
use delta_storage_embedded::{Config, EmbeddedStorage};
use delta_tests::start::{MASTER_KEY, Start};
use tempfile::TempDir;

use crate::support::{data, directory, serve};

use super::{fails, failure};

fails! {
    a_directory_that_cannot_be_made_is_named: |directory| {
        std::fs::write(directory.path().join("data"), "a file").unwrap();
        serve(directory)
    } => "error: cannot make the directory DIR/data; choose another --data-dir: File exists (os error 17)";
    a_directory_below_a_file_is_named: |directory| {
        std::fs::write(directory.path().join("file"), "a file").unwrap();
        serve(directory).arg("--data-dir").arg(directory.path().join("file/data"))
    } => "error: cannot make the directory DIR/file/data; choose another --data-dir: Not a directory (os error 20)";
    a_directory_where_nothing_can_be_written_is_named: |directory| serve(directory).args(&["--data-dir", "/proc"])
        => "error: cannot write in the directory /proc; check its owner and mode: No such file or directory (os error 2)";
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_is_made() {
    let directory = directory();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _listener = std::net::TcpListener::bind(taken).unwrap();
    for flag in ["--rest-addr", "--grpc-addr"] {
        let line = failure(&serve(&directory).arg(flag).arg(taken.to_string()), &directory);
        assert_eq!(line, format!("error: {taken} is taken by another process; stop that one or choose another {flag}"));
        assert!(!data(&directory).exists());
    }
}

#[test]
fn a_second_process_on_one_directory_names_the_directory() {
    let directory = directory();
    let first = serve(&directory).up();
    first.admin().put("/entity/db/k", "1").expect(201);
    let line = "error: another process has the store in DIR/data/store open; stop it, or choose another --data-dir";
    assert_eq!(failure(&serve(&directory), &directory), line);
    assert_eq!(first.admin().get("/entity/db/k").expect(200).text(), "1");
    first.kill();
    serve(&directory).up();
}

/// Replaces the superblock of a store that is not open.
fn rewrite_superblock(directory: &TempDir, change: impl Fn(&mut Vec<u8>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let storage = EmbeddedStorage::open(&Config::new(data(directory).join("store"))).unwrap();
        let (generation, bytes) = superblock::read(&storage).await.unwrap().unwrap();
        let mut bytes = bytes.to_vec();
        change(&mut bytes);
        let object = conformance::public(bytes);
        storage.put(&superblock_name(generation), &object, &Expect::Anything).await.unwrap();
        storage.close().await.unwrap();
    });
}

#[test]
fn a_damaged_superblock_is_told_and_left_alone() {
    let directory = directory();
    serve(&directory).up().stop();
    let flip = |needle: &'static str| {
        move |bytes: &mut Vec<u8>| {
            let at = bytes.windows(needle.len()).position(|window| window == needle.as_bytes()).unwrap();
            bytes[at + needle.len()] ^= 1;
        }
    };
    type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
    let damages: [(Change<'_>, &str); 3] = [
        (&flip("\"generation\":"), "it does not pass its authentication code"),
        (&|bytes| bytes.truncate(100), "it is not two lines"),
        (&|bytes| bytes.clear(), "it is not two lines"),
    ];
    for (change, how) in damages {
        let kept = std::cell::RefCell::new(Vec::new());
        rewrite_superblock(&directory, |bytes| {
            kept.replace(bytes.clone());
            change(bytes);
        });
        let line =
            format!("error: the superblock is damaged: {how}; nothing was changed, see what `deltadb fsck` says");
        assert_eq!(failure(&serve(&directory), &directory), line);
        rewrite_superblock(&directory, |bytes| bytes.clone_from(&kept.borrow()));
    }
    rewrite_superblock(&directory, |bytes| flip("\"format\":")(bytes));
    let line = "error: the store has format 0, and this version knows 1; open it with the version that wrote it";
    assert_eq!(failure(&serve(&directory), &directory), line);
    rewrite_superblock(&directory, |bytes| flip("\"format\":")(bytes));
    serve(&directory).up();
}

#[test]
fn an_older_superblock_in_the_place_of_a_newer_is_refused() {
    let directory = directory();
    let store = directory.path().join("db");
    let with = |start: Start| start.arg("--shared-fs").arg(&store);
    with(serve(&directory)).up().stop();
    let (new, old) = ("ab".repeat(32), format!("main-key-v1={MASTER_KEY}"));
    with(serve(&directory)).variable("MASTER_KEY", &new).arg("--previous-key").arg(&old).up().stop();
    let [one, two] = ["format.000001.json", "format.000002.json"].map(|name| store.join("_store").join(name));
    std::fs::set_permissions(&two, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::copy(one, two).unwrap();
    let line = "error: the superblock is damaged: generation 1 lies in the place of 2; nothing was changed, see what `deltadb fsck` says";
    assert_eq!(failure(&with(serve(&directory)), &directory), line);
}

#[test]
fn a_new_data_directory_is_for_its_owner_only() {
    let directory = directory();
    serve(&directory).up().stop();
    let mode = |path: std::path::PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(data(&directory)), mode(data(&directory).join("store"))), (0o700, 0o700));
}
