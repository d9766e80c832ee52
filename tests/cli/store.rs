//! `databases`, `workers` and `me`.

use serde_json::json;

use crate::support::{has, skipped};

use super::{Shell, cells, json as parse};

#[test]
fn databases_are_listed_one_a_line() {
    let shell = Shell::new();
    for database in ["users", "chat"] {
        shell.prints_for(&["put", database, "k"], "1");
    }
    assert_eq!(shell.prints(&["databases"]), "chat\nusers\n");
    assert_eq!(shell.prints(&["databases", "list"]), "chat\nusers\n");
    assert_eq!(shell.prints(&["databases", "--json"]), "[\"chat\",\"users\"]\n");
}

#[test]
fn workers_are_a_table() {
    let shell = Shell::new();
    let table = shell.prints(&["workers"]);
    let lines: Vec<Vec<&str>> = table.lines().map(cells).collect();
    assert_eq!(lines[0], ["WORKER", "STATUS", "KEY", "LAST SEEN", "ACTIVE", "TAGS"], "{table}");
    assert_eq!((lines.len(), lines[1][1], lines[1][2]), (2, "Available", "main-key-v1"), "{table}");
    let workers = parse(&shell.prints(&["workers", "--json"]));
    assert_eq!((&workers[0]["worker_id"], &workers[0]["active_requests"]), (&json!(lines[1][0]), &json!(1)));
}

#[test]
fn me_says_who_the_server_takes_one_for() {
    let shell = Shell::new();
    let text = "client       admin\npermissions  read,write,admin\nadmin        yes\nscopes       -\n";
    assert_eq!(shell.prints(&["me"]), text);
    assert_eq!(shell.prints(&["whoami"]), text);
    assert_eq!(parse(&shell.prints(&["me", "--json"]))["permissions"], json!(["read", "write", "admin"]));
}

#[test]
fn a_database_has_settings_that_stay_when_others_change() {
    let shell = Shell::new();
    shell.prints_for(&["schema", "put", "chat.v1"], "{\"required\": [\"a\"]}");
    shell.fails(3, &["databases", "show", "chat"]);
    assert_eq!(shell.prints(&["databases", "set", "chat", "--schema", "chat.v1"]), "set up chat\n");
    shell.prints(&["databases", "set", "chat", "--require-schema", "true"]);
    let settings = parse(&shell.prints(&["databases", "show", "chat", "--json"]));
    assert_eq!((&settings["schema_id"], &settings["require_schema"]), (&json!("chat.v1"), &json!(true)));
    let text = shell.prints(&["databases", "show", "chat"]);
    assert!(text.contains("schema_id       chat.v1\n") && text.contains("require_schema  yes\n"), "{text}");
    super::refused(1, shell.command(&["put", "chat", "k"]).input("{}").run());
    shell.prints(&["databases", "set", "chat", "--no-schema"]);
    let settings = parse(&shell.prints(&["databases", "show", "chat", "--json"]));
    assert_eq!((&settings["schema_id"], &settings["require_schema"]), (&json!(null), &json!(true)));
    assert!(shell.fails(1, &["databases", "set", "chat"]).contains("--schema"));
    shell.fails(1, &["databases", "set", "chat", "--schema", "none"]);
}

#[test]
fn a_database_is_dropped_only_when_that_is_meant() {
    let shell = Shell::new();
    shell.prints_for(&["put", "chat", "k"], "1");
    shell.prints_for(&["put", "users", "k"], "1");
    let line = shell.fails(1, &["databases", "drop", "chat"]);
    assert_eq!(line, "a drop cannot be undone; say --yes where there is no terminal to ask on");
    assert_eq!(shell.prints(&["get", "chat", "k"]), "1");
    assert_eq!(shell.prints(&["databases", "drop", "chat", "--yes"]), "dropped chat\n");
    assert_eq!(shell.prints(&["databases"]), "users\n");
    shell.fails(3, &["get", "chat", "k"]);
    shell.prints_for(&["put", "chat", "k"], "2");
    assert_eq!(shell.prints(&["get", "chat", "k"]), "2");
}

#[test]
fn a_terminal_is_asked_for_the_name_before_a_drop() {
    if !has("script") {
        return skipped("this needs script (util-linux) for a terminal");
    }
    let shell = Shell::new();
    shell.prints_for(&["put", "chat", "k"], "1");
    let drop = |answer: &str| {
        let start = shell.command(&[]);
        let command = format!("exec {} databases drop chat", start.program().display());
        let line = ["--quiet", "--return", "--command", &command, "/dev/null"];
        start.line("script", &line).input(format!("{answer}\n")).run()
    };
    let no = drop("yes");
    assert!(no.code == Some(1) && no.stdout.contains("that is not its name; nothing was dropped"), "{no:?}");
    assert_eq!(shell.prints(&["get", "chat", "k"]), "1");
    let yes = drop("chat");
    assert!(yes.code == Some(0) && yes.stdout.contains("dropped chat"), "{yes:?}");
    assert_eq!(shell.prints(&["databases"]), "");
}
