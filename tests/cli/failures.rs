//! How commands fail: one line that names the place and says what to do, and an exit code for what a script can act on.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use delta_tests::start::{ADMIN_KEY, Start};

use crate::support::{PROGRAM, directory, skipped};

use super::{Shell, json, refused};

/// A server that gives every request this one answer, and notes what it was asked.
fn answering(answer: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4_096];
        let read = stream.read(&mut request).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    (url, served)
}

/// A server that gives one answer after the other, each on a connection of its own, and counts the requests.
fn answering_in_turn(answers: &'static [&'static str]) -> (String, thread::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = move |answer: &&str| {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 4_096]).unwrap() > 0);
        stream.write_all(answer.as_bytes()).unwrap();
    };
    (url, thread::spawn(move || answers.iter().map(serve).count()))
}

/// `deltadb me` at an address, with a credential.
fn me(url: &str) -> Start {
    let start = Start::bare(PROGRAM, &["me", "--url", url]).variable("DELTADB_TOKEN", ADMIN_KEY);
    start.variable("XDG_CONFIG_HOME", "/nonexistent")
}

#[test]
fn every_exit_code_means_one_thing() {
    let shell = Shell::new();
    shell.prints_for(&["put", "chat", "k"], "1");
    assert_eq!(shell.fails(3, &["get", "chat", "none"]), "there is no entity none in database chat");
    assert!(refused(5, shell.bare(&["get", "chat", "k"]).run()).contains("deltadb login"));
    let invalid = refused(1, shell.command(&["put", "chat", "k"]).input("{").run());
    assert!(invalid.starts_with("not valid JSON"), "{invalid}");
    assert!(shell.fails(1, &["get", "chat"]).ends_with("see `deltadb get --help`"));
    assert!(shell.fails(1, &["put", "chat", "k", "none.json"]).starts_with("cannot read none.json; check the path"));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let line = refused(6, me(&url).run());
    assert!(line.starts_with(&format!("cannot reach {url}/: ")) && line.contains("refused"), "{line}");
    assert!(line.ends_with("see that the server runs, and that --url or DELTADB_URL is its address"), "{line}");
}

#[test]
fn an_error_is_json_where_json_was_asked_for() {
    let shell = Shell::new();
    let finished = shell.command(&["get", "chat", "none", "--json"]).run();
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(3), ""), "{finished:?}");
    let problem = json(&finished.stderr);
    assert_eq!((&problem["error"], &problem["status"]), (&"not_found".into(), &404.into()), "{problem}");
    let unreachable = me("http://127.0.0.1:1").arg("--json").run();
    assert_eq!(json(&unreachable.stderr)["error"], "unreachable", "{unreachable:?}");
    shell.prints_for(&["schema", "put", "chat"], "{\"required\": [\"a\", \"b\"]}");
    let invalid = shell.command(&["put", "chat", "k", "--json"]).input("{}").run();
    assert_eq!(json(&invalid.stderr)["violations"].as_array().unwrap().len(), 2, "{invalid:?}");
}

#[test]
fn a_redirect_is_not_followed() {
    let aim = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, served) = answering("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    let line = refused(1, me(&url).run());
    assert!(line.contains("redirects to http://127.0.0.1:1/, which is not followed"), "{line}");
    assert!(served.join().unwrap().to_ascii_lowercase().contains(&format!("authorization: bearer {ADMIN_KEY}")));
    drop(aim);
}

#[test]
fn what_is_no_server_of_ours_is_told() {
    for (answer, code, said) in [
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>", 6, "answered 502 Bad Gateway, not as"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", 1, "is not what a DeltaDatabase server sends"),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", 1, "answered 404 Not Found, not as"),
        ("SSH-2.0-OpenSSH\r\n", 6, "broke off the request"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n{",
            6,
            "whether it was carried out is not known: look before you send it again",
        ),
    ] {
        let (url, served) = answering(answer);
        let line = refused(code, me(&url).run());
        assert!(line.contains(said), "{line}");
        served.join().unwrap();
    }
}

#[test]
fn a_server_cannot_drive_the_terminal() {
    let body = "{\"error\":\"bad\",\"detail\":\"a\\u001b[31m\\nb\"}";
    let answer = format!("HTTP/1.1 400 Bad\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (url, _served) = answering(answer.leak());
    assert_eq!(refused(1, me(&url).run()), "a\\u{1b}[31m\\nb");
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let line = refused(6, me(&url).args(&["--timeout", "200ms"]).run());
    assert!(line.contains("gave no answer in 0.2 s (--timeout)"), "{line}");
}

#[test]
fn an_address_that_is_none_is_refused_and_a_password_in_it_is_not_repeated() {
    let directory = directory();
    for (url, said) in
        [("127.0.0.1:8080", "write it like http://127.0.0.1:8080"), ("ftp://x", "begins with http:// or https://")]
    {
        let line = refused(1, me(url).directory(directory.path()).run());
        assert!(line.contains(said), "{line}");
    }
    let line = refused(1, Start::bare(PROGRAM, &["me"]).variable("DELTADB_URL", "http://u:s3cret@x").run());
    assert!(line.starts_with("--url or DELTADB_URL: a password in an address"), "{line}");
    assert!(!line.contains("s3cret"), "{line}");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    for command in ["openapi", "completions bash", "man", "--help"] {
        let pipe = format!("set -o pipefail; \"$0\" {command} | head -c 10 > /dev/null");
        let start = me("http://127.0.0.1:1");
        let program = start.program().display().to_string();
        let finished = start.line("bash", &["-c", &pipe, &program]).run();
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{command}: {finished:?}");
    }
    let shell = Shell::new();
    shell.prints_for(&["put", "chat", "large"], &format!("\"{}\"", "x".repeat(1_000_000)));
    let start = shell.command(&[]);
    let program = start.program().display().to_string();
    let pipe = "set -o pipefail; \"$0\" get chat large | head -c 10 > /dev/null";
    let finished = start.line("bash", &["-c", pipe, &program]).run();
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
}

const BUSY: &str = "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nConnection: close\r\nContent-Length: 40\r\n\r\n\
    {\"error\":\"unavailable\",\"detail\":\"later\"}";
const DONE: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";

#[test]
fn a_long_load_waits_for_a_server_that_is_busy_but_not_for_ever() {
    let load = |url: &str| me(url).line(PROGRAM, &["put", "db", "--map", "-", "--url", url]).input("{\"k\": 1}").run();
    let (url, served) = answering_in_turn(&[BUSY, BUSY, DONE]);
    let finished = load(&url);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), "written 1 document to db\n"), "{finished:?}");
    assert_eq!(served.join().unwrap(), 3);
    let (url, served) = answering_in_turn(&[BUSY; 5]);
    assert_eq!(refused(6, load(&url)), "later");
    assert_eq!(served.join().unwrap(), 5);
}

#[test]
fn what_a_script_passes_on_cannot_drive_the_terminal() {
    let line = refused(1, Start::bare(PROGRAM, &["get", "a\u{202e}b", "k"]).run());
    assert!(line.starts_with("invalid value 'a\\u{202e}b'"), "{line}");
}

#[test]
fn a_proxy_does_not_get_what_stays_on_this_machine() {
    let shell = Shell::new();
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let start = shell.command(&["me"]).variable(variable, "http://127.0.0.1:1");
        super::printed(start.run());
    }
}

#[test]
fn a_full_disk_is_told() {
    if !std::path::Path::new("/dev/full").exists() {
        return skipped("there is no /dev/full");
    }
    let shell = Shell::new();
    let start = shell.command(&[]);
    let program = start.program().display().to_string();
    let finished = start.line("bash", &["-c", "\"$0\" databases > /dev/full", &program]).run();
    assert_eq!(finished.code, Some(0), "nothing was to be written: {finished:?}");
    let finished = shell.command(&[]).line("bash", &["-c", "\"$0\" me > /dev/full", &program]).run();
    let line = refused(1, finished);
    assert!(line.starts_with("cannot write to standard output: No space left"), "{line}");
}
