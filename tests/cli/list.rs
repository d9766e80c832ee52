//! `list` and `get --lines`: pages of keys, and every document.

use super::{Shell, cells, json as parse};

/// A shell beside a server with this many documents in the database `many`.
fn many(documents: usize) -> Shell {
    let shell = Shell::new();
    let lines = (0..documents).map(|number| format!("{{\"key\": \"k{number:05}\", \"document\": [{number}, 1.50]}}\n"));
    shell.prints_for(&["put", "many", "--lines", "-"], &lines.collect::<String>());
    shell
}

fn keys(table: &str) -> Vec<&str> {
    table.lines().skip(1).map(|line| cells(line).last().copied().unwrap()).collect()
}

#[test]
fn keys_are_listed_in_order_with_their_sizes() {
    let shell = Shell::new();
    for key in ["room-2", "room-1", "größe 🙂", "user-1"] {
        shell.prints_for(&["put", "chat", key], "{}");
    }
    let table = shell.prints(&["list", "chat"]);
    assert_eq!(cells(table.lines().next().unwrap()), ["SIZE", "KEY"], "{table}");
    assert_eq!(keys(&table), ["größe 🙂", "room-1", "room-2", "user-1"], "{table}");
    assert_eq!(keys(&shell.prints(&["list", "chat", "--prefix", "room-"])), ["room-1", "room-2"]);
    let items = parse(&shell.prints(&["list", "chat", "--json"]));
    assert_eq!((&items["items"][1]["key"], &items["next_cursor"]), (&"room-1".into(), &serde_json::Value::Null));
    // Aligned: every key begins in the same column.
    let columns: Vec<usize> = table.lines().map(|line| line.trim_end().rfind("  ").unwrap()).collect();
    assert!(columns.windows(2).all(|pair| pair[0] == pair[1]), "{table}");
}

#[test]
fn metadata_tells_the_version_the_schema_and_the_etag() {
    let shell = Shell::new();
    shell.prints_for(&["schema", "put", "strict"], "true");
    shell.prints_for(&["put", "chat", "a"], "1");
    let written = shell.prints_for(&["put", "chat", "a", "--schema", "strict"], "2");
    let etag = written.trim_end().rsplit(' ').next().unwrap();
    let table = shell.prints(&["list", "chat", "--metadata"]);
    let rows: Vec<Vec<&str>> = table.lines().map(cells).collect();
    assert_eq!(rows[0], ["SIZE", "VERSION", "UPDATED", "ETAG", "SCHEMA", "KEY"], "{table}");
    assert_eq!((rows[1][1], &rows[1][3..]), ("2", &[etag, "strict", "a"][..]), "{table}");
}

#[test]
fn more_keys_than_were_asked_for_are_told() {
    let shell = many(2_050);
    let some = shell.command(&["list", "many", "--limit", "3"]).run();
    assert_eq!((some.code, keys(&some.stdout)), (Some(0), vec!["k00000", "k00001", "k00002"]), "{some:?}");
    assert!(some.stderr.starts_with("there are more keys; print them with --all"), "{some:?}");
    let table = shell.prints(&["list", "many", "--all"]);
    let expected: Vec<String> = (0..2_050).map(|number| format!("k{number:05}")).collect();
    assert_eq!(keys(&table), expected);
    assert_eq!(shell.command(&["list", "many"]).run().stdout.lines().count(), 1_001);
    // A cursor goes on where the list before it ended, and --all is one JSON object.
    let first = parse(&shell.prints(&["list", "many", "--limit", "1999", "--json"]));
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(first["items"].as_array().map(Vec::len), Some(1_999));
    let rest = parse(&shell.prints(&["list", "many", "--cursor", cursor, "--json"]));
    assert_eq!((&rest["items"][0]["key"], rest["items"].as_array().map(Vec::len)), (&"k01999".into(), Some(51)));
    let all = parse(&shell.prints(&["list", "many", "--all", "--json"]));
    assert_eq!(all["items"].as_array().map(Vec::len), Some(2_050));
}

#[test]
fn an_empty_list_is_no_error() {
    let shell = Shell::new();
    assert_eq!(shell.prints(&["list", "none"]), "    SIZE  KEY\n");
    assert_eq!(shell.prints(&["list", "none", "--json"]), "{\"items\":[],\"next_cursor\":null}\n");
    assert!(shell.fails(1, &["list", "none", "--limit", "0"]).contains("--limit"));
}

#[test]
fn a_database_comes_out_as_lines_and_goes_in_again() {
    let shell = many(1_500);
    shell.prints_for(&["put", "many", "spread"], "{ \"a\":\n 1.50,\r\n\"b\": \"\\n\" }");
    let lines = shell.prints(&["get", "many", "--lines"]);
    assert_eq!(lines.lines().next(), Some("{\"key\":\"k00000\",\"document\":[0, 1.50]}"));
    assert_eq!(lines.lines().last(), Some("{\"key\":\"spread\",\"document\":{ \"a\":  1.50,  \"b\": \"\\n\" }}"));
    assert_eq!(lines.lines().count(), 1_501);
    assert_eq!(shell.prints(&["get", "many", "--lines", "-o", "many.ndjson"]), "");
    assert_eq!(shell.read("many.ndjson"), lines);
    assert_eq!(shell.prints(&["put", "copy", "--lines", "many.ndjson"]), "written 1501 documents to copy\n");
    assert_eq!(shell.prints(&["get", "copy", "--lines"]), lines);
    assert_eq!(shell.prints(&["get", "copy", "--lines", "--prefix", "spr"]).lines().count(), 1);
    assert_eq!(shell.prints(&["get", "none", "--lines"]), "");
}
