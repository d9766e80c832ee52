//! `schema`.

use super::{Shell, refused};

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
