//! `keys`: created, used, listed, deleted.

use serde_json::json;

use super::{Shell, cells, json as parse, printed, refused};

#[test]
fn a_key_is_shown_once_and_does_what_it_may_until_it_is_deleted() {
    let shell = Shell::new();
    shell.prints_for(&["put", "chat.a", "k"], "1");
    shell.prints_for(&["put", "users", "k"], "1");
    let line =
        ["keys", "create", "--name", "ci", "--permission", "read", "--scope", "chat*:read", "--expires-in", "7d"];
    let created = shell.command(&line).run();
    assert_eq!(
        (created.code, &*created.stderr),
        (Some(0), "the secret is not shown again; keep it now\n"),
        "{created:?}"
    );
    let field = |name: &str| {
        let found = created.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("  "));
        found.unwrap_or_else(|| panic!("no {name}: {created:?}")).trim().to_owned()
    };
    assert_eq!([field("name"), field("permissions"), field("scopes")], ["ci", "read", "chat*:read"]);
    let secret = field("secret");
    assert!(secret.starts_with("dk_"), "{created:?}");
    let with_key = |arguments: &[&str]| shell.bare(arguments).variable("DELTADB_TOKEN", &secret).input("2").run();
    assert_eq!(printed(with_key(&["get", "chat.a", "k"])), "1");
    refused(5, with_key(&["put", "chat.a", "k"]));
    refused(5, with_key(&["get", "users", "k"]));
    refused(5, with_key(&["keys", "list"]));

    let table = shell.prints(&["keys", "list"]);
    let rows: Vec<Vec<&str>> = table.lines().map(cells).collect();
    assert_eq!(rows[0], ["ID", "NAME", "PERMISSIONS", "SCOPES", "CREATED", "EXPIRES"], "{table}");
    assert_eq!(rows[1][..4], [&*field("id"), "ci", "read", "chat*:read"], "{table}");
    assert!(rows.len() == 2 && !table.contains(&secret), "{table}");
    assert_eq!(shell.prints(&["keys", "delete", &field("id")]), format!("deleted key {}\n", field("id")));
    refused(5, with_key(&["get", "chat.a", "k"]));
    shell.fails(3, &["keys", "delete", &field("id")]);
}

#[test]
fn a_key_as_json_is_the_whole_answer() {
    let shell = Shell::new();
    let line = ["keys", "create", "--name", "a b", "--permission", "read,write", "--permission", "admin", "--json"];
    let created = parse(&shell.prints(&line));
    assert_eq!((&created["name"], &created["permissions"]), (&json!("a b"), &json!(["read", "write", "admin"])));
    shell.file("ci.key", created["secret"].as_str().unwrap());
    assert!(printed(shell.bare(&["me", "--token-file", "ci.key"]).run()).contains("admin        yes"));
    let list = parse(&shell.prints(&["keys", "list", "--json"]));
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    // A session of the key, saved by `login`, ends with it.
    printed(shell.bare(&["login", "--key-file", "ci.key"]).run());
    printed(shell.bare(&["me"]).run());
    shell.prints(&["keys", "delete", created["id"].as_str().unwrap()]);
    let line = refused(5, shell.bare(&["me"]).run());
    assert!(line.ends_with("the saved session has ended, run `deltadb login` again"), "{line}");
}

#[test]
fn what_no_key_can_have_is_refused() {
    let shell = Shell::new();
    let create = ["keys", "create", "--name", "n", "--permission"];
    for (rest, said) in [
        (vec!["fly"], "use one of read, write, admin"),
        (vec!["read", "--scope", "chat"], "write a scope like 'chat*:read,write'"),
        (vec!["read", "--scope", "chat:fly"], "use one of read, write, schema"),
        (vec!["read", "--expires-in", "soon"], "is not a duration; write one like 30s, 1h30m or 7d"),
        (vec!["read", "--expires-in", "0"], "expir"),
    ] {
        let line = shell.fails(1, &[&create[..], &rest[..]].concat());
        assert!(line.contains(said), "{line}");
    }
    assert_eq!(shell.prints(&["keys", "list", "--json"]), "[]\n");
}
