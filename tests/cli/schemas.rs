//! `schema`.

use super::{Shell, cells, json as parse, refused};

const SCHEMA: &str = "{\"type\": \"object\",\n \"required\": [\"a\"]}\n";

#[test]
fn a_schema_is_written_listed_read_and_deleted() {
    let shell = Shell::new();
    shell.file("chat.schema.json", SCHEMA);
    assert_eq!(shell.prints(&["schema", "list"]), "");
    assert_eq!(shell.prints(&["schema", "put", "chat", "chat.schema.json"]), "written schema chat\n");
    assert_eq!(shell.prints_for(&["schema", "put", "a.v1", "--json"], "true"), "{\"status\":\"ok\"}\n");
    assert_eq!(shell.prints(&["schema", "list"]), "a.v1\nchat\n");
    assert_eq!(shell.prints(&["schema", "list", "--json"]), "[\"a.v1\",\"chat\"]\n");
    assert_eq!(shell.prints(&["schema", "get", "chat"]), SCHEMA);
    assert_eq!(shell.prints(&["schema", "delete", "chat"]), "deleted schema chat\n");
    assert!(shell.fails(3, &["schema", "get", "chat"]).contains("chat"));
    shell.fails(3, &["schema", "delete", "chat"]);
}

#[test]
fn what_is_no_schema_is_refused() {
    let shell = Shell::new();
    let line = refused(1, shell.command(&["schema", "put", "chat"]).input("{\"type\": \"thing\"}").run());
    assert!(line.contains("schema"), "{line}");
    assert_eq!(shell.prints(&["schema", "list"]), "");
}

#[test]
fn a_document_is_tried_without_being_written() {
    let shell = Shell::new();
    shell.file("chat.schema.json", SCHEMA);
    shell.prints(&["schema", "put", "chat", "chat.schema.json"]);
    let said = shell.prints_for(&["schema", "validate", "chat"], "{\"a\": 1}");
    assert_eq!(said, "the document matches schema chat\n");
    shell.file("bad.json", "{}");
    let bad = shell.command(&["schema", "validate", "chat", "bad.json"]).run();
    assert_eq!(bad.code, Some(1), "{bad:?}");
    let rows: Vec<Vec<&str>> = bad.stdout.lines().map(cells).collect();
    assert_eq!(rows, [vec!["POINTER", "KEYWORD", "MESSAGE"], vec!["-", "required", "\"a\" is required"]], "{bad:?}");
    assert_eq!(bad.stderr, "error: the document breaks schema chat in 1 place; change it there, or the schema\n");
    let bad = shell.command(&["schema", "validate", "chat", "bad.json", "--json"]).run();
    let answer = parse(&bad.stdout);
    assert_eq!((&answer["valid"], &answer["violations"][0]["keyword"]), (&false.into(), &"required".into()));
    assert_eq!(parse(&bad.stderr)["error"], "schema_violation");
    assert_eq!(shell.prints(&["databases"]), "");
    shell.fails(3, &["schema", "validate", "none", "bad.json"]);
}
