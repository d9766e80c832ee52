//! `get`, `put`, `patch` and `delete`.

use serde_json::json;

use super::{Shell, json as parse};

/// A spelling that only a byte for byte store keeps.
const DOCUMENT: &str = "{ \"topic\" : \"tea\",\n\"n\": 1.50 }\n";

#[test]
fn a_document_goes_in_and_comes_out_byte_for_byte() {
    let shell = Shell::new();
    shell.file("room.json", DOCUMENT);
    let created = shell.prints(&["put", "chat", "room-1", "room.json"]);
    assert!(created.starts_with("created chat/room-1, version 1, ETag \"1-"), "{created}");
    assert_eq!(shell.prints(&["get", "chat", "room-1"]), DOCUMENT);
    let written = shell.prints_for(&["put", "chat", "room-1"], "[1]");
    assert!(written.starts_with("written chat/room-1, version 2, ETag \"2-"), "{written}");
    assert_eq!(shell.prints(&["get", "chat", "room-1"]), "[1]");
    let answer = shell.prints_for(&["put", "chat", "room-1", "-", "--json"], DOCUMENT);
    assert_eq!((&parse(&answer)["status"], &parse(&answer)["version"]), (&json!("ok"), &json!(3)));
    assert_eq!(shell.prints(&["get", "chat", "room-1", "-o", "out.json"]), "");
    assert_eq!(shell.read("out.json"), DOCUMENT);
}

#[test]
fn a_name_is_encoded_whatever_it_is_made_of() {
    let shell = Shell::new();
    for key in ["a b?c&d=e#f%2Fg+h", "größe 🙂", "'\"<>", "%", "~", "a:b@c;d,e"] {
        shell.prints_for(&["put", "chat", key], "1");
        assert_eq!(shell.prints(&["get", "chat", key]), "1", "{key}");
    }
    // A key that looks like a flag stands after two dashes.
    shell.prints_for(&["put", "chat", "--", "-key"], "2");
    assert_eq!(shell.prints(&["get", "chat", "--", "-key"]), "2");
    assert!(shell.fails(1, &["get", "chat", "."]).contains("cannot stand in the path of a URL"));
}

#[test]
fn names_that_no_server_takes_are_told_before_anything_is_sent() {
    let shell = Shell::new();
    let line = shell.fails(1, &["get", "chat", "a/b", "--url", "http://127.0.0.1:1"]);
    assert!(line.contains("entity key must not contain") && line.ends_with("see `deltadb get --help`"), "{line}");
    let line = shell.fails(1, &["get", ".chat", "a", "--url", "http://127.0.0.1:1"]);
    assert!(line.contains("database name must not start with a dot"), "{line}");
}

#[test]
fn a_document_is_checked_against_the_schema_that_is_named() {
    let shell = Shell::new();
    shell.prints_for(&["schema", "put", "strict"], "{\"required\": [\"a\"]}");
    shell.prints_for(&["put", "chat", "k", "--schema", "strict"], "{\"a\": 1}");
    let line = super::refused(1, shell.command(&["put", "chat", "k", "--schema", "strict"]).input("{}").run());
    assert!(line.contains("\"a\" is required"), "{line}");
    assert_eq!(shell.prints(&["get", "chat", "k"]), "{\"a\": 1}");
}

/// The ETag at the end of what `put` says.
fn etag(said: &str) -> String {
    said.trim_end().rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn a_write_can_depend_on_what_is_stored() {
    let shell = Shell::new();
    let put = |value: &str, condition: [&str; 2]| {
        shell.command(&[&["put", "chat", "k", "-"][..], &condition].concat()).input(value).run()
    };
    let first = etag(&super::printed(put("1", ["--if-none-match", "*"])));
    let line = super::refused(4, put("2", ["--if-none-match", "*"]));
    assert!(!line.is_empty());
    let second = etag(&super::printed(put("2", ["--if-match", &first])));
    super::refused(4, put("3", ["--if-match", &first]));
    assert_eq!(shell.prints(&["get", "chat", "k"]), "2");
    shell.fails(4, &["delete", "chat", "k", "--if-match", &first]);
    shell.file("patch.json", "{\"a\": 1}");
    shell.fails(4, &["patch", "chat", "k", "patch.json", "--if-match", &first]);
    assert_eq!(shell.prints(&["delete", "chat", "k", "--if-match", &second]), "deleted chat/k\n");
    shell.fails(3, &["get", "chat", "k"]);
    assert_eq!(shell.prints(&["delete", "chat", "k"]), "there was no chat/k\n");
    assert_eq!(parse(&shell.prints(&["delete", "chat", "k", "--json"])), json!({"status": "ok", "existed": false}));
}

#[test]
fn a_patch_changes_a_part_and_keeps_the_rest() {
    let shell = Shell::new();
    shell.prints_for(&["put", "chat", "k"], "{\"n\": 1.50, \"a\": 1, \"b\": [1]}");
    let said = shell.prints_for(&["patch", "chat", "k"], "{\"a\": null, \"c\": true}");
    assert!(said.starts_with("written chat/k, version 2, ETag \"2-"), "{said}");
    let document = shell.prints(&["get", "chat", "k"]);
    assert!(document.contains("1.50"), "{document}");
    assert_eq!(parse(&document), json!({"n": 1.5, "b": [1], "c": true}));
    shell.file("change.json", "[{\"op\": \"add\", \"path\": \"/b/-\", \"value\": 2}]");
    shell.prints(&["patch", "chat", "k", "change.json", "--json-patch", "--json"]);
    assert_eq!(shell.prints(&["get", "chat", "k", "--pointer", "/b/1"]), "2");
    shell.fails(3, &["get", "chat", "k", "--pointer", "/b/2"]);
    shell.fails(3, &["patch", "chat", "none", "change.json", "--json-patch"]);
    shell.file("test.json", "[{\"op\": \"test\", \"path\": \"/n\", \"value\": 2}]");
    shell.fails(4, &["patch", "chat", "k", "test.json", "--json-patch"]);
}

#[test]
fn metadata_is_told_without_the_document() {
    let shell = Shell::new();
    let etag = etag(&shell.prints_for(&["put", "chat", "k"], DOCUMENT));
    let text = shell.prints(&["get", "chat", "k", "--metadata"]);
    let size = DOCUMENT.len();
    let start = format!("key      k\nsize     {size}\nversion  1\netag     {etag}\nupdated  ");
    assert!(text.starts_with(&start) && text.ends_with(" GMT\n"), "{text}");
    let metadata = parse(&shell.prints(&["get", "chat", "k", "--metadata", "--json"]));
    assert_eq!((&metadata["size"], &metadata["version"]), (&json!(size), &json!(1)));
    shell.fails(3, &["get", "chat", "none", "--metadata"]);
}
