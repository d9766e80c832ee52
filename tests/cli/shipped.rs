//! What packages ship: completion scripts, manual pages and the help.

use delta_tests::start::Start;

use crate::support::{PROGRAM, directory, has, skipped};

use super::{printed, refused};

fn run(arguments: &[&str]) -> String {
    printed(Start::bare(PROGRAM, arguments).run())
}

#[test]
fn completion_scripts_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        for word in ["databases", "if-none-match", "completions", "deltadb"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
    let line = refused(1, Start::bare(PROGRAM, &["completions", "cmd"]).run());
    assert!(line.contains("possible values: bash"), "{line}");
}

#[test]
fn a_completion_script_is_one_that_the_shell_takes() {
    if !has("bash") {
        return skipped("there is no bash");
    }
    let directory = directory();
    std::fs::write(directory.path().join("deltadb.bash"), run(&["completions", "bash"])).unwrap();
    let script = "source deltadb.bash && COMP_WORDS=(deltadb data) COMP_CWORD=1 && \
        _deltadb deltadb data deltadb && echo \"${COMPREPLY[@]}\"";
    let start = Start::bare(PROGRAM, &[]).directory(directory.path()).line("bash", &["--norc", "-c", script]);
    assert_eq!(printed(start.run()), "databases\n");
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let page = run(&["man"]);
    for text in [".TH deltadb 1", ".SH EXIT CODES", "DELTADB_TOKEN"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let directory = directory();
    let pages = directory.path().join("man");
    run(&["man", "--dir", pages.to_str().unwrap()]);
    for name in ["deltadb", "deltadb-get", "deltadb-databases-drop", "deltadb-schema-validate", "deltadb-keys-create"] {
        let page = std::fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(".SH EXAMPLES\n.nf\n  deltadb "), "{name}: {page}");
    }
}

#[test]
fn the_help_of_a_command_has_its_examples() {
    for (command, example) in [
        (vec!["get", "--help"], "deltadb get chat room-1 --pointer /members/0"),
        (vec!["keys", "create", "--help"], "--scope 'chat*:read,write'"),
        (vec!["help", "schema", "validate"], "deltadb schema validate chat room-1.json"),
    ] {
        let help = run(&command);
        assert!(help.contains(example) && help.contains("DELTADB_URL"), "{help}");
    }
    // Variables may hold an internal address: the help does not show what they are set to.
    let start = Start::bare(PROGRAM, &["get", "--help"]).variable("DELTADB_URL", "http://inside.example");
    assert!(!printed(start.run()).contains("inside.example"));
}
