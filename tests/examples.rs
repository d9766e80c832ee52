//! The programs under `examples/` do what they say, against a server that crashes between writing and reading.

use std::ffi::OsString;

use delta_tests::server::Server;
use delta_tests::start::{ADMIN_KEY, Finished};
use serde_json::json;

use crate::support::{directory, has, run, serve, skipped, workspace};

/// Runs one of them.
fn example(server: &Server, interpreter: &str, program: &str, arguments: &[&str]) -> Finished {
    let file = workspace().join("examples/chat").join(program);
    let line: Vec<OsString> =
        [interpreter.into(), file.into()].into_iter().chain(arguments.iter().map(OsString::from)).collect();
    let url = format!("http://{}", server.address());
    run(&line, &[("BASE_URL", &url), ("ADMIN_KEY", ADMIN_KEY), ("PYTHONDONTWRITEBYTECODE", "1")])
}

#[track_caller]
fn prints(finished: &Finished, expected: &str) {
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), expected), "{finished:?}");
}

#[test]
fn the_chat_in_python_keeps_its_conversation() {
    if !has("python3") {
        return skipped("there is no python3");
    }
    let directory = directory();
    let server = serve(&directory).up();
    let shown = "python-demo: 3 messages\n     ada | Is the pump in hall 3 running again?\n     ben | Since ten past nine, at half pressure.\n     ada | Good enough: \"half\" is plenty till Friday 🙂\n";
    let safe = "version 1 is safe\nversion 2 is safe\nversion 3 is safe\n";
    prints(&example(&server, "python3", "chat.py", &["demo"]), &format!("{safe}{shown}"));
    server.kill();
    let server = serve(&directory).up();
    prints(&example(&server, "python3", "chat.py", &["show", "python-demo"]), shown);
    prints(&example(&server, "python3", "chat.py", &["say", "a b?&ü", "eve", "hi"]), "version 1 is safe\n");
    prints(&example(&server, "python3", "chat.py", &["show", "a b?&ü"]), "a b?&ü: 1 messages\n     eve | hi\n");
    assert_eq!(example(&server, "python3", "chat.py", &["show", "none"]).code, Some(1));
}

#[test]
fn the_chat_in_shell_keeps_its_conversation() {
    if !["bash", "curl", "jq"].into_iter().all(has) {
        return skipped("this needs bash, curl and jq");
    }
    let directory = directory();
    let server = serve(&directory).up();
    let shown = "shell-demo: 2 messages\n     eva | Who has the key to the cellar?\n    finn | It hangs by the \"green\" door.\n";
    let safe = "version 1 is safe\nversion 2 is safe\n";
    prints(&example(&server, "bash", "chat.sh", &["demo"]), &format!("{safe}{shown}"));
    server.kill();
    let server = serve(&directory).up();
    prints(&example(&server, "bash", "chat.sh", &["show", "shell-demo"]), shown);
    prints(&example(&server, "bash", "chat.sh", &["say", "a b?&ü", "eve", "hi"]), "version 1 is safe\n");
    assert_eq!(example(&server, "bash", "chat.sh", &["show", "none"]).code, Some(1));
    let stored = server.admin().get("/entity/conversations/a%20b%3F%26%C3%BC").expect(200);
    assert_eq!(stored.json(), json!({"messages": [{"who": "eve", "text": "hi"}]}));
}

/// Three steps, in either language.
fn looks_up(interpreter: &str, program: &str, made: &str, password: &str, name: &str, chats: &str) {
    let directory = directory();
    let server = serve(&directory).up();
    prints(&example(&server, interpreter, program, &["setup"]), made);
    server.kill();
    let server = serve(&directory).up();
    prints(&example(&server, interpreter, program, &["login", name, password]), chats);
    for (name, password) in [(name, "wrong"), ("nobody", password)] {
        let refused = example(&server, interpreter, program, &["login", name, password]);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
        assert!(refused.stderr.contains("no such user, or another password"), "{refused:?}");
    }
    for database in ["users", "user_chats", "chats"] {
        server.admin().put(&format!("/entity/{database}/x"), "{\"unexpected\":1}").expect(400);
    }
    assert_eq!(server.admin().get("/api/databases").json(), json!(["chats", "user_chats", "users"]));
}

#[test]
fn the_lookup_in_python_goes_from_a_login_to_the_messages() {
    if !has("python3") {
        return skipped("there is no python3");
    }
    let made =
        "2 users and 3 chats are safe\na chat without messages is refused: schema_violation: required at the top\n";
    let chats = "alice has 2 chats\n  c-2 Lunch\n    alice: Noon?\n  c-1 Pump in hall 3\n    alice: It drips.\n    bob: On my way.\n";
    looks_up("python3", "lookup.py", made, "correct horse", "alice", chats);
}

#[test]
fn the_lookup_in_shell_goes_from_a_login_to_the_messages() {
    if !["bash", "curl", "jq", "openssl"].into_iter().all(has) {
        return skipped("this needs bash, curl, jq and openssl");
    }
    let chats = "carol has 2 chats\n  c-12 Cider\n    dave: How many crates?\n    carol: Forty.\n  c-11 Harvest\n    carol: The apples are in.\n";
    looks_up("bash", "lookup.sh", "1 user and 2 chats are safe\n", "open sesame", "carol", chats);
}

#[test]
fn every_example_says_how_it_is_used() {
    let directory = directory();
    let server = serve(&directory).up();
    for (interpreter, program) in
        [("python3", "chat.py"), ("python3", "lookup.py"), ("bash", "chat.sh"), ("bash", "lookup.sh")]
    {
        if !has(interpreter) {
            skipped(interpreter);
            continue;
        }
        let finished = example(&server, interpreter, program, &[]);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains(&format!("{program} ")), "{finished:?}");
    }
}
