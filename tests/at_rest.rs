//! What lies on the disk: nothing of a document, a name or a key, and nothing that others may read.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use delta_tests::faults::attach::{Attached, cannot_trace};
use delta_tests::http::Request;
use delta_tests::server::Server;
use delta_tests::start::{ADMIN_KEY, MASTER_KEY, Start};
use delta_tests::storages::Storage;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{PROGRAM, api_key, data, dev, directory, login, serve};

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// What must not be found: in a document, as a key, as a database.
const TEXT: &str = "marker-of-a-document";
const NUMBER: &str = "314159265358979323846";
const KEY: &str = "marker-of-a-key";
const DATABASE: &str = "marker-of-a-database";
const CHECKED: &str = "marker-of-a-checked-database";
const API_KEY: &str = "marker-of-an-api-key";

fn write(server: &Server) {
    let mut client = server.admin();
    client.put(&format!("/schema/{CHECKED}"), "{\"type\":\"object\"}").expect(200);
    for at in 0..200 {
        let document = format!("{{\"text\":\"{TEXT} {at} {}\",\"n\":{NUMBER}}}", "x".repeat(at * 20));
        client.put(&format!("/entity/{DATABASE}/{KEY}-{at}"), &document).expect(201);
        client.put(&format!("/entity/{CHECKED}"), format!("{{\"{KEY}-{at}\":{document}}}")).expect(200);
    }
    // A key and a database whose names do not fit into the name of an object.
    let long = format!("{KEY}-{}", "k".repeat(300));
    client.put(&format!("/entity/{DATABASE}/{long}"), format!("\"{TEXT}\"")).expect(201);
    client.delete(&format!("/entity/{DATABASE}?key={KEY}-7")).expect(200);
    client.get(&format!("/entity/{DATABASE}/{KEY}-8")).expect(200);
}

/// The files that hold some bytes.
fn found(files: &[PathBuf], needle: &[u8]) -> Vec<PathBuf> {
    // A live server renames its temporary files, and is looked at again once it has ended.
    let read = |file: &PathBuf| {
        fs::read(file).or_else(|error| match error.kind() {
            ErrorKind::NotFound => Ok(Vec::new()),
            _ => Err(error),
        })
    };
    files.iter().filter(|file| holds(&read(file).unwrap(), needle)).cloned().collect()
}

/// Looks only where the first byte stands, which the standard library finds fast.
fn holds(mut bytes: &[u8], needle: &[u8]) -> bool {
    let (first, rest) = needle.split_first().unwrap();
    while bytes.skip_until(*first).unwrap() > 0 {
        if bytes.starts_with(rest) {
            return true;
        }
    }
    false
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// What lies on the disk in every state that a server leaves it in: while it runs, when it was stopped, and when it was
/// killed with a file half written.
fn nothing_is_on_the_disk_of(storage: Storage) {
    let directory = directory();
    let start = storage.serve(PROGRAM, &data(&directory));
    let server = start.up();
    write(&server);
    let token = login(&server, ADMIN_KEY);
    let key = api_key(&server, json!({"name": API_KEY, "permissions": ["read"]}));
    let session = key.login(&server);
    let raw = bytes_of(MASTER_KEY);
    let secret = key.secret.rsplit('_').next().unwrap();
    let texts = [TEXT, NUMBER, KEY, DATABASE, API_KEY, ADMIN_KEY, MASTER_KEY, &token, &session, &key.secret, secret];
    let secrets: Vec<&[u8]> = texts.into_iter().map(str::as_bytes).chain([&raw[..], &raw[..16]]).collect();
    let check = || {
        let files = files(&data(&directory));
        for secret in &secrets {
            let text = String::from_utf8_lossy(secret);
            let mut found = found(&files, secret);
            found.extend(files.iter().filter(|file| file.to_string_lossy().contains(&*text)).cloned());
            assert_eq!(found, [""; 0].map(PathBuf::from), "{storage:?}: {text}");
        }
        // The search finds what is there: schemas are stored as they are.
        assert!(!found(&files, b"{\"type\":\"object\"}").is_empty());
        files
    };
    check();
    server.stop();
    let sidecars = check().iter().filter(|file| file.to_string_lossy().ends_with(".meta.json")).count();
    assert_eq!(sidecars > 100, storage == Storage::Fs, "{sidecars} sidecars");
    // A restart moves the log into tables.
    let server = start.up();
    server.admin().put("/entity/other/k", "1").expect(201);
    die_in_a_write(server, &directory, storage);
    let temporary = check().iter().filter(|file| file.to_string_lossy().contains("/.t-")).count();
    assert_eq!(temporary > 0, storage == Storage::Fs && cannot_trace().is_none(), "{temporary} temporary files");
}

/// Ends a server in the middle of a write: when its file is there, and has not got its name.
fn die_in_a_write(server: Server, directory: &TempDir, storage: Storage) {
    if storage == Storage::Embedded || cannot_trace().is_some() {
        return drop(server.kill());
    }
    let fault = ["-e", "inject=?rename,renameat,renameat2:signal=SIGKILL"].map(OsString::from);
    let attached = Attached::to(server.id(), &fault, &directory.path().join("trace")).unwrap();
    let document = format!("{{\"text\":\"{TEXT}\",\"n\":{NUMBER}}}");
    let unanswered = Request::new("PUT", &format!("/entity/{DATABASE}/{KEY}-torn")).body(document);
    assert!(server.admin().try_send(&unanswered).is_err());
    drop(attached.ended());
    drop(server.kill());
}

#[test]
fn nothing_of_a_document_a_name_or_a_key_is_on_the_disk() {
    nothing_is_on_the_disk_of(Storage::Embedded);
}

#[test]
fn nothing_of_a_document_a_name_or_a_key_is_on_the_disk_of_fs() {
    nothing_is_on_the_disk_of(Storage::Fs);
}

#[test]
fn with_plain_names_the_documents_are_sealed_all_the_same() {
    let directory = directory();
    let server = serve(&directory).arg("--names=plain").up();
    write(&server);
    server.stop();
    let files = files(&data(&directory));
    assert!(!found(&files, KEY.as_bytes()).is_empty(), "the names are plain");
    for secret in [TEXT, NUMBER, ADMIN_KEY, MASTER_KEY] {
        assert_eq!(found(&files, secret.as_bytes()), [""; 0].map(PathBuf::from), "{secret}");
    }
    // How a store names things was decided when it was made.
    serve(&directory).arg("--names=sealed").up().admin().get(&format!("/entity/{DATABASE}/{KEY}-8")).expect(200);
}

/// Everything below a data directory that somebody else could use.
fn exposed(start: &Start, directory: &TempDir) -> Vec<String> {
    let server = start.up();
    server.admin().put("/schema/one", "{}").expect(200);
    server.admin().put("/entity/one", "{\"a\":{},\"b\":{}}").expect(200);
    api_key(&server, json!({"name": "one", "permissions": ["read"]}));
    server.stop();
    // The restart after it leaves a process's lock file behind.
    start.up().kill();
    let root = data(directory);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    // What lies below `store/tree` is fjall's, which asks for no mode: the directory above keeps others out.
    let ours = |path: &PathBuf| !path.starts_with(root.join("store/tree"));
    let all: Vec<_> = files(&root).into_iter().filter(ours).collect();
    assert!(!all.is_empty());
    let directories: BTreeSet<_> = all.iter().flat_map(|file| file.ancestors().skip(1)).collect();
    let directories = directories.into_iter().filter(|directory| directory.starts_with(&root));
    let wrong = directories.filter(|directory| mode(directory) != 0o700).map(Path::to_owned);
    let wrong = wrong.chain(all.iter().filter(|file| mode(file) != 0o600).cloned());
    wrong.map(|path| format!("{:o} {}", mode(&path), path.display())).collect()
}

#[test]
fn others_may_enter_no_directory_and_read_no_file() {
    for storage in [Storage::Embedded, Storage::Fs] {
        let directory = directory();
        assert_eq!(exposed(&storage.serve(PROGRAM, &data(&directory)), &directory), [""; 0]);
    }
}

#[test]
fn under_dev_others_may_not_either() {
    let directory = directory();
    dev(&directory).up().kill();
    let root = data(&directory);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&root), mode(&root.join("store"))), (0o700, 0o700));
    let ours = files(&root).into_iter().filter(|file| !file.starts_with(root.join("store/tree")));
    assert!(ours.inspect(|file| assert_eq!(mode(file), 0o600, "{file:?}")).count() >= 2);
}

#[test]
fn a_data_directory_that_is_open_to_others_keeps_the_store_closed() {
    let directory = directory();
    let root = data(&directory);
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    serve(&directory).up();
    let store = fs::metadata(root.join("store")).unwrap();
    assert_eq!(store.mode() & 0o777, 0o700);
}

#[test]
fn a_crash_writes_no_image_of_the_memory() {
    let server = serve(&directory()).up();
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
}
