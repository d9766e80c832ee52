//! What the operator sees in the directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{alone, beside_others};
use crate::support::{data, directory};

/// Every directory and file below one, itself included.
fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    let mut at = 0;
    while let Some(path) = found.get(at).cloned() {
        if path.is_dir() {
            found.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
        at += 1;
    }
    found
}

fn names(directory: &Path) -> Vec<String> {
    below(directory).iter().map(|path| path.strip_prefix(directory).unwrap().display().to_string()).collect()
}

#[test]
fn plain_names_are_as_the_documents_picture_them_with_a_sidecar() {
    let directory = directory();
    let server = alone(&directory).args(&["--names=plain", "--sidecar=sync", "--worker-id=proc-1"]).up();
    let tag = server.admin().put("/entity/chatdb/Chat_id", "{}").expect(201).header("etag").unwrap().to_owned();
    server.admin().put("/entity/a_b/c", "{}").expect(201);
    let names = names(&directory.path().join("db"));
    for wanted in
        ["files/chatdb_Chat_id.json.enc", "files/chatdb_Chat_id.meta.json", "files/a%5Fb_c.json.enc", "templates"]
    {
        assert!(names.iter().any(|name| name == wanted), "{wanted} in {names:?}");
    }
    let sidecar = fs::read(directory.path().join("db/files/chatdb_Chat_id.meta.json")).unwrap();
    let sidecar: Value = serde_json::from_slice(&sidecar).unwrap();
    let said = ["database", "key_id", "alg", "version", "writer_id", "etag"].map(|member| &sidecar[member]);
    assert_eq!(json!(said), json!(["chatdb", "main-key-v1", "AES-GCM", 1, "proc-1", tag]));
    assert!(sidecar.as_object().unwrap().values().all(|value| value != "Chat_id"), "{sidecar}");
    server.admin().delete("/entity/chatdb/Chat_id").expect(200);
    server.stop();
    assert!(!self::names(&directory.path().join("db")).iter().any(|name| name.contains("Chat_id")));
}

#[test]
fn sealed_names_and_sidecars_tell_neither_database_nor_key() {
    let directory = directory();
    let server = alone(&directory).up();
    for key in ["secret-key", &"secret-key".repeat(20)] {
        server.admin().put(&format!("/entity/secret-database/{key}"), "{}").expect(201);
    }
    server.stop();
    let paths = below(&directory.path().join("db"));
    let sidecars = paths.iter().filter(|path| path.to_string_lossy().ends_with(".meta.json"));
    assert_eq!(sidecars.count(), 2, "lazily, and at shutdown at the latest: {paths:?}");
    for path in paths {
        let content = if path.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        let text = format!("{} {}", path.display(), String::from_utf8_lossy(&content));
        assert!(!text.contains("secret-"), "{text}");
    }
}

#[test]
fn files_and_directories_are_for_their_owner_only() {
    let directory = directory();
    let server = beside_others(&directory).up();
    server.admin().put("/schema/db", "{}").expect(200);
    server.admin().put("/entity/db/k", "{}").expect(201);
    server.admin().put("/api/databases/db", "{}").expect(200);
    server.stop();
    let paths = below(&directory.path().join("db"));
    assert!(paths.len() > 10, "{paths:?}");
    for path in paths {
        let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
    assert!(!data(&directory).exists(), "nothing but the directory is needed");
}
