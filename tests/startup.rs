//! Each start-up failure is one line that says what to do, and changes nothing.

mod configuration;
mod keys;
mod store;

use delta_tests::start::Start;
use tempfile::TempDir;

/// The line on standard error of a start that fails, with the test's directory as `DIR`; what else it prints, and any
/// other exit code than 1, fails the test.
#[track_caller]
fn failure(start: &Start, directory: &TempDir) -> String {
    let finished = start.run();
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert_eq!(finished.stdout, "", "{finished:?}");
    let lines: Vec<&str> = finished.stderr.lines().collect();
    // A secret among the arguments draws a warning of its own.
    let lines: Vec<&str> = lines.into_iter().filter(|line| !line.contains("shows in `ps`")).collect();
    let [line] = lines.as_slice() else { panic!("not one line: {finished:?}") };
    line.replace(&directory.path().display().to_string(), "DIR")
}

/// One test for each failure: how it is started, and the line it prints.
macro_rules! fails {
    ($($name:ident: $start:expr => $line:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let directory = crate::support::directory();
                let start: fn(&tempfile::TempDir) -> delta_tests::start::Start = $start;
                assert_eq!(super::failure(&start(&directory), &directory), $line);
            }
        )*
    };
}

use fails;
