//! `login` and `logout`, and where a credential comes from.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use delta_tests::start::ADMIN_KEY;

use crate::support::{has, skipped};

use super::{Shell, json as parse, printed, refused};

/// Where the shell's sessions are kept.
fn saved(shell: &Shell) -> PathBuf {
    shell.directory.path().join("config/deltadb/credentials.json")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[track_caller]
fn log_in(shell: &Shell) -> String {
    printed(shell.bare(&["login"]).input(format!("{ADMIN_KEY}\n")).run())
}

#[test]
fn a_session_is_kept_for_the_user_only_and_used_from_then_on() {
    let shell = Shell::new();
    let said = log_in(&shell);
    assert!(said.starts_with(&format!("logged in to {}/ as admin until 20", shell.url())), "{said}");
    let path = saved(&shell);
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let text = fs::read_to_string(&path).unwrap();
    let token = parse(&text.replace('\n', " "))["sessions"][format!("{}/", shell.url())]["token"].clone();
    let token = token.as_str().unwrap();
    assert!(!text.contains(ADMIN_KEY) && !said.contains(token), "{text} {said}");
    assert!(printed(shell.bare(&["me"]).run()).starts_with("client       admin\n"));
    // It is that server's session, and nobody else's.
    let other = shell.bare(&["me", "--url", "http://localhost:1"]).run();
    assert_eq!(other.code, Some(6), "{other:?}");
}

#[test]
fn a_key_on_its_way_to_another_machine_should_be_encrypted() {
    let shell = Shell::new();
    // An address that is not the loopback interface's, though it leads here.
    let url = shell.url().replace("127.0.0.1", "0.0.0.0");
    let finished = shell.bare(&["login", "--url", &url]).input(ADMIN_KEY).run();
    assert_eq!(finished.stderr, format!("{url}/ gets the key unencrypted; use https where others may listen\n"));
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn a_session_as_json_is_told_without_its_token() {
    let shell = Shell::new();
    shell.file("admin.key", ADMIN_KEY);
    let said = parse(&printed(shell.bare(&["login", "--key-file", "admin.key", "--json"]).run()));
    let mut members: Vec<&str> = said.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["client_id", "expires_at", "permissions", "url"], "{said}");
}

#[test]
fn a_session_that_is_logged_out_is_over_on_the_server_too() {
    let shell = Shell::new();
    log_in(&shell);
    let text = fs::read_to_string(saved(&shell)).unwrap();
    let said = printed(shell.bare(&["logout"]).run());
    assert_eq!(said, format!("logged out of {}/\n", shell.url()));
    let line = refused(5, shell.bare(&["me"]).run());
    assert!(line.ends_with("run `deltadb login`, or set DELTADB_TOKEN"), "{line}");
    // Whoever kept a copy of the file has nothing of it.
    fs::write(saved(&shell), &text).unwrap();
    let line = refused(5, shell.bare(&["me"]).run());
    assert!(line.ends_with("the saved session has ended, run `deltadb login` again"), "{line}");
    // It is over already, which is what was wanted.
    printed(shell.bare(&["logout"]).run());
    assert_eq!(printed(shell.bare(&["logout"]).run()), format!("there is no session with {}/\n", shell.url()));
}

#[test]
fn a_session_is_forgotten_also_when_the_server_is_gone() {
    let shell = Shell::new();
    log_in(&shell);
    let Shell { directory, server } = shell;
    let start = delta_tests::start::Start::bare(crate::support::PROGRAM, &["logout"]);
    let start = start.variable("DELTADB_URL", format!("http://{}", server.address()));
    let start = start.variable("XDG_CONFIG_HOME", directory.path().join("config"));
    server.kill();
    let line = refused(6, start.run());
    assert!(line.contains("the session is forgotten here, and on the server it ends 20"), "{line}");
    assert!(printed(start.run()).starts_with("there is no session with "));
}

#[test]
fn a_wrong_key_saves_nothing_and_is_not_repeated() {
    let shell = Shell::new();
    let line = refused(5, shell.bare(&["login"]).input("not-the-admin-key\n").run());
    assert!(line.ends_with("no session was saved") && !line.contains("not-the-admin-key"), "{line}");
    assert!(!saved(&shell).exists());
    let line = refused(1, shell.bare(&["login"]).input("\n").run());
    assert_eq!(line, "no key was given; type it, pipe it in, or name its file");
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let shell = Shell::new();
    log_in(&shell);
    fs::set_permissions(saved(&shell), fs::Permissions::from_mode(0o644)).unwrap();
    for command in ["me", "databases"] {
        let line = refused(1, shell.bare(&[command]).run());
        assert!(line.contains("others can read it; run `chmod 600 "), "{line}");
    }
    // A credential of another kind does not need it.
    shell.prints(&["me"]);
}

#[test]
fn a_file_goes_before_the_variable_and_the_variable_before_the_session() {
    let shell = Shell::new();
    shell.file("wrong.key", "a wrong one\n");
    shell.file("right.key", &format!("{ADMIN_KEY}\n"));
    let refusal = |line: &str, advice: &str| assert!(line.ends_with(advice), "{line}");
    refusal(&refused(5, shell.bare(&["me"]).run()), "run `deltadb login`, or set DELTADB_TOKEN");
    log_in(&shell);
    printed(shell.bare(&["me"]).run());
    let wrong = shell.bare(&["me"]).variable("DELTADB_TOKEN", "wrong");
    refusal(&refused(5, wrong.clone().run()), "the token is that of DELTADB_TOKEN");
    printed(wrong.args(&["--token-file", "right.key"]).run());
    refusal(&shell.fails(5, &["me", "--token-file", "wrong.key"]), "the token is that of --token-file");
    let both = shell.command(&["login"]).input(ADMIN_KEY).run();
    assert_eq!((both.code, both.stderr.as_str()), (Some(0), "DELTADB_TOKEN is set, and goes before this session\n"));
}

#[test]
fn a_token_that_no_header_can_carry_is_not_repeated() {
    let shell = Shell::new();
    let line = refused(1, shell.bare(&["me"]).variable("DELTADB_TOKEN", "to\u{7}ken").run());
    assert_eq!(line, "the token holds characters that no token has; check where it comes from");
}

/// A shell command on a terminal: what it shows until a text appears, and what it shows after something is typed then.
fn on_a_terminal(shell: &Shell, command: &str, until: &str, typed: &str) -> String {
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--return", "--command", command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    script.env("DELTADB_URL", shell.url()).env("XDG_CONFIG_HOME", shell.directory.path().join("config"));
    let mut script = script.env("SHELL", "/bin/sh").spawn().unwrap();
    let (mut keyboard, mut shown) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let (mut screen, mut byte) = (Vec::new(), [0]);
    while !screen.ends_with(until.as_bytes()) {
        assert_eq!(shown.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&screen));
        screen.extend(byte);
    }
    keyboard.write_all(typed.as_bytes()).unwrap();
    shown.read_to_end(&mut screen).unwrap();
    script.wait().unwrap();
    String::from_utf8(screen).unwrap()
}

#[test]
fn a_terminal_does_not_show_the_key() {
    if !has("script") {
        return skipped("this needs script (util-linux) for a terminal");
    }
    let shell = Shell::new();
    let command = format!("exec {} login", shell.bare(&[]).program().display());
    let question = format!("Key for {}/: ", shell.url());
    let screen = on_a_terminal(&shell, &command, &question, &format!("{ADMIN_KEY}\n"));
    assert!(screen.contains("logged in to") && !screen.contains(ADMIN_KEY), "{screen}");
}

#[test]
fn an_interrupted_question_leaves_the_terminal_as_it_was() {
    if !has("script") {
        return skipped("this needs script (util-linux) for a terminal");
    }
    let shell = Shell::new();
    let program = shell.bare(&[]).program().display().to_string();
    // The shell itself outlives the interrupt, to look at the terminal.
    let command = format!("trap : INT; {program} login; echo \"code $?\"; stty -a");
    let question = format!("Key for {}/: ", shell.url());
    let screen = on_a_terminal(&shell, &command, &question, "\u{3}");
    assert!(screen.contains("error: the question for the key was interrupted; nothing was saved"), "{screen}");
    assert!(screen.contains("code 1") && screen.contains(" echo ") && !screen.contains(" -echo "), "{screen}");
    assert!(!saved(&shell).exists());
}
