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
    assert_eq!(parse(&answer), json!({"status": "ok", "version": 3}));
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
