//! What lies on the disk: nothing of a document, a name or a key, and nothing that others may read.

use std::fs;
use std::io::BufRead;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use delta_tests::server::Server;
use delta_tests::start::{ADMIN_KEY, MASTER_KEY, Start};

use crate::support::{data, dev, directory, serve};

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
    files.iter().filter(|file| holds(&fs::read(file).unwrap(), needle)).cloned().collect()
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

#[test]
fn nothing_of_a_document_a_name_or_a_key_is_on_the_disk() {
    let directory = directory();
    let server = serve(&directory).up();
    write(&server);
    let login = server.anonymous().post("/api/login", format!("{{\"key\":\"{ADMIN_KEY}\"}}")).expect(200).json();
    let token = login["token"].as_str().unwrap().to_owned();
    let raw = bytes_of(MASTER_KEY);
    let secrets: [&[u8]; 9] = [
        TEXT.as_bytes(),
        NUMBER.as_bytes(),
        KEY.as_bytes(),
        DATABASE.as_bytes(),
        ADMIN_KEY.as_bytes(),
        MASTER_KEY.as_bytes(),
        &raw,
        &raw[..16],
        token.as_bytes(),
    ];
    let check = || {
        let files = files(&data(&directory));
        for secret in secrets {
            assert_eq!(found(&files, secret), [""; 0].map(PathBuf::from), "{}", String::from_utf8_lossy(secret));
        }
        // The search finds what is there: schemas are stored as they are.
        assert!(!found(&files, b"{\"type\":\"object\"}").is_empty());
    };
    check();
    server.stop();
    check();
    // A restart moves the log into tables.
    let server = serve(&directory).up();
    server.admin().put("/entity/other/k", "1").expect(201);
    server.kill();
    check();
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

/// The modes of everything below the data directory that somebody else could use.
fn exposed(start: &Start, directory: &tempfile::TempDir) -> Vec<String> {
    let server = start.up();
    server.anonymous().get("/health").expect(200);
    server.kill();
    let root = data(directory);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&root), mode(&root.join("store"))), (0o700, 0o700));
    // What lies below `store/tree` is fjall's, which asks for no mode: the directory above keeps others out.
    let ours = files(&root).into_iter().filter(|file| !file.starts_with(root.join("store/tree")));
    let ours: Vec<_> = ours.collect();
    assert!(!ours.is_empty());
    ours.iter().filter(|file| mode(file) != 0o600).map(|file| format!("{:o} {}", mode(file), file.display())).collect()
}

#[test]
fn others_may_enter_no_directory_and_read_no_file() {
    for start in [serve, dev] {
        let directory = directory();
        assert_eq!(exposed(&start(&directory), &directory), [""; 0]);
    }
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
