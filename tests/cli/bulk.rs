//! `put --map` and `put --lines`: many documents in requests that a server takes.

use serde_json::json;

use crate::support::{has, skipped};

use super::{Shell, json as parse, refused};

/// A file of lines of this many documents.
fn lines(documents: usize) -> String {
    (0..documents).map(|number| format!("{{\"key\": \"k{number:05}\", \"document\": [{number}, 1.50]}}\n")).collect()
}

#[test]
fn lines_are_cut_into_requests_and_keep_their_bytes() {
    let shell = Shell::new();
    shell.file("rooms.ndjson", &lines(2_500));
    let done = shell.prints(&["put", "bulk", "--lines", "rooms.ndjson", "--json"]);
    assert_eq!(parse(&done), json!({"status": "ok", "written": 2_500, "requests": 3}));
    assert_eq!(shell.prints(&["get", "bulk", "k02499"]), "[2499, 1.50]");
    let done = shell.prints_for(&["put", "piped", "--lines", "-"], &lines(3));
    assert_eq!(done, "written 3 documents to piped\n");
    assert_eq!(shell.prints(&["get", "piped", "k00002"]), "[2, 1.50]");
}

#[test]
fn a_map_is_one_request_where_it_fits_in_one() {
    let shell = Shell::new();
    let done = shell.prints_for(&["put", "chat", "--map", "-", "--json"], "{\"a\": [1.50], \"b c\": {}}");
    assert_eq!(parse(&done), json!({"status": "ok", "written": 2, "requests": 1}));
    assert_eq!(shell.prints(&["get", "chat", "a"]), "[1.50]");
    // Five documents of 300 KB do not fit into a body of 1 MiB.
    let large = "x".repeat(300_000);
    let members: Vec<String> = (0..5).map(|number| format!("\"large-{number}\": \"{large}\"")).collect();
    shell.file("large.json", &format!("{{{}}}", members.join(", ")));
    let done = shell.prints(&["put", "chat", "--map", "large.json", "--json"]);
    assert_eq!(parse(&done), json!({"status": "ok", "written": 5, "requests": 2}));
    assert_eq!(shell.prints(&["get", "chat", "large-4"]), format!("\"{large}\""));
}

#[test]
fn a_key_that_comes_again_is_written_again() {
    let shell = Shell::new();
    let twice = "{\"key\": \"k\", \"document\": 1}\n\n{\"document\": 2, \"key\": \"k\", \"version\": 7}";
    let done = shell.prints_for(&["put", "chat", "--lines", "-", "--json"], twice);
    assert_eq!(parse(&done)["requests"], 2);
    assert_eq!(shell.prints(&["get", "chat", "k"]), "2");
}

#[test]
fn a_bad_line_is_named_with_what_is_written_already() {
    let shell = Shell::new();
    shell.file("bad.ndjson", &format!("{}{{\"key\": \"a/b\", \"document\": 1}}\n", lines(1_001)));
    let line = shell.fails(1, &["put", "bulk", "--lines", "bad.ndjson"]);
    assert!(line.starts_with("bad.ndjson, line 1002: entity key must not contain"), "{line}");
    assert!(line.ends_with("1000 documents before it are written, and running it again is safe"), "{line}");
    assert_eq!(shell.prints(&["get", "bulk", "k00999"]), "[999, 1.50]");
    shell.fails(3, &["get", "bulk", "k01000"]);
    let line = refused(1, shell.command(&["put", "bulk", "--lines", "-"]).input("{\"key\": 1}").run());
    assert!(line.starts_with("standard input, line 1: a line must be an object like"), "{line}");
}

#[test]
fn a_bad_map_is_refused_as_a_whole() {
    let shell = Shell::new();
    for (map, said) in [
        ("{\"a\": 1, \"b/c\": 2}", "entity key must not contain"),
        ("{\"a\": 1, \"a\": 2}", "the same key twice"),
        ("[1]", "must be an object"),
        ("{\"a\": 1,", "not valid JSON"),
    ] {
        let line = refused(1, shell.command(&["put", "chat", "--map", "-"]).input(map).run());
        assert!(line.starts_with("standard input: ") && line.contains(said), "{line}");
    }
    assert_eq!(shell.prints(&["databases"]), "");
}

#[test]
fn a_document_that_breaks_the_schema_stops_its_request_only() {
    let shell = Shell::new();
    shell.prints_for(&["schema", "put", "bulk"], "{\"type\": \"array\"}");
    shell.file("bad.ndjson", &format!("{}{{\"key\": \"wrong\", \"document\": {{}}}}\n", lines(1_000)));
    let line = shell.fails(1, &["put", "bulk", "--lines", "bad.ndjson"]);
    assert!(line.contains("does not match schema bulk") && line.contains("1000 documents before it"), "{line}");
}

#[test]
fn a_terminal_shows_how_far_a_load_is() {
    if !has("script") {
        return skipped("this needs script (util-linux) for a terminal");
    }
    let shell = Shell::new();
    shell.file("rooms.ndjson", &lines(2_500));
    let start = shell.command(&[]);
    let command = format!("exec {} put bulk --lines rooms.ndjson", start.program().display());
    let on_a_terminal = start.line("script", &["--quiet", "--return", "--command", &command, "/dev/null"]);
    let shown = on_a_terminal.variable("TERM", "xterm").run();
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.stdout.contains(" KiB  2000 documents"), "{shown:?}");
    assert!(shown.stdout.ends_with("written 2500 documents to bulk\r\n"), "{shown:?}");
}
