//! `databases`, `workers` and `me`.

use serde_json::json;

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
    assert_eq!(lines[0], ["WORKER", "STATUS", "KEY", "LAST SEEN", "TAGS"], "{table}");
    assert_eq!((lines.len(), lines[1][1], lines[1][2]), (2, "Available", "main-key-v1"), "{table}");
    let workers = parse(&shell.prints(&["workers", "--json"]));
    assert_eq!(workers[0]["worker_id"], lines[1][0]);
}

#[test]
fn me_says_who_the_server_takes_one_for() {
    let shell = Shell::new();
    let text = "client       admin\npermissions  read,write,admin\nadmin        yes\nscopes       -\n";
    assert_eq!(shell.prints(&["me"]), text);
    assert_eq!(shell.prints(&["whoami"]), text);
    assert_eq!(parse(&shell.prints(&["me", "--json"]))["permissions"], json!(["read", "write", "admin"]));
}
