//! What this build can use.

use delta_tests::start::Start;

use crate::support::PROGRAM;

const COMPILED_IN: [&str; 5] =
    ["keys/file", "storage/embedded", "storage/fs", "storage/memory", "validator/jsonschema"];

#[test]
fn the_registered_plugins_are_exactly_those_of_the_default_features() {
    assert_eq!(delta_server::plugin_names(), COMPILED_IN);
}

#[test]
fn the_command_lists_each_with_a_line_about_it() {
    let finished = Start::bare(PROGRAM, &["plugins"]).run();
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    let listed: Vec<_> = finished.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    let names: Vec<_> = listed.iter().map(|words| words[..2].join("/")).collect();
    assert_eq!(names, COMPILED_IN);
    assert!(listed.iter().all(|words| words.len() > 4), "{}", finished.stdout);
}
