//! Copies that are killed or run out of disk: never a store, and finished by the same command.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use delta_tests::start::MASTER_KEY;
use tempfile::TempDir;

use crate::support::{PROGRAM, directory, has, run, skipped};

use super::{At, documents, done, many};

const ENTITIES: usize = 3_000;

/// How many objects lie below a directory.
fn objects(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let is_object = |path: &Path| path.extension().is_some_and(|end| end == "enc");
    let paths = entries.flatten().map(|entry| entry.path());
    paths.map(|path| if path.is_dir() { objects(&path) } else { usize::from(is_object(&path)) }).sum()
}

/// Runs a migration and kills it as soon as `reached` says so; whether it was killed before its end.
fn killed_when(from: &At, to: &At, reached: impl Fn() -> bool) -> bool {
    let program = from.migrate(to).program().to_owned();
    let mut command = Command::new(program);
    command.args(["migrate", "--from", &from.text(), "--to", &to.text()]).env_clear().env("MASTER_KEY", MASTER_KEY);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !reached() && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "the migration does not get on");
        thread::sleep(Duration::from_millis(1));
    }
    let ran = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    ran
}

/// Neither a server nor a check takes a cut-short copy for a store.
#[track_caller]
fn is_no_store(directory: &TempDir, to: &At) {
    for start in [to.serve(directory), to.serve(directory).line(PROGRAM, &["fsck"])] {
        let finished = start.run();
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains("the copy of a store that was cut short; run the same"), "{finished:?}");
    }
}

fn written(line: &str) -> usize {
    let words: Vec<&str> = line.split(' ').collect();
    let at = words.iter().position(|word| *word == "written").unwrap();
    words[at - 1].parse().unwrap()
}

#[test]
fn a_copy_to_fs_that_was_killed_goes_on_where_it_was() {
    let directory = directory();
    let from = At::new(&directory, "embedded", "first");
    many(&from, &directory, ENTITIES);
    let to = At::new(&directory, "fs", "second");
    let copied = || objects(&to.path.join("files"));
    for part in [1, 500, 1_200] {
        assert!(killed_when(&from, &to, || copied() >= part), "it was over before it was killed");
        is_no_store(&directory, &to);
    }
    let line = done(&from.migrate(&to).run()).to_owned();
    assert!(written(&line) <= ENTITIES - 1_200, "it goes on where it was: {line}");
    let server = to.serve(&directory).up();
    let copy = documents(&server, "db");
    server.stop();
    assert_eq!(copy, documents(&from.serve(&directory).up(), "db"));
}

#[test]
fn a_copy_to_embedded_that_was_killed_goes_on_where_it_was() {
    let directory = directory();
    let from = At::new(&directory, "fs", "first");
    many(&from, &directory, ENTITIES);
    let to = At::new(&directory, "embedded", "second");
    // The log is allocated ahead, so its size does not tell; the number of the last commit does.
    // The file is empty for the instant in which it is made.
    let slot = |bytes: &[u8], at: usize| bytes.get(at).copied().unwrap_or(0);
    let commits = || fs::read(to.path.join("sequence")).map_or(0, |bytes| slot(&bytes, 0).max(slot(&bytes, 16)));
    for part in [2, 4, 7] {
        assert!(killed_when(&from, &to, || commits() >= part), "it was over before it was killed");
        is_no_store(&directory, &to);
    }
    let line = done(&from.migrate(&to).run()).to_owned();
    assert!(written(&line) < ENTITIES - 1_000, "it goes on where it was: {line}");
    let server = to.serve(&directory).up();
    let copy = documents(&server, "db");
    server.stop();
    assert_eq!(copy, documents(&from.serve(&directory).up(), "db"));
}

/// Mounts a small disk, fills it with a copy, makes it larger, and runs the same command again.
const SCRIPT: &str = "mount -t tmpfs -o size=1m tmpfs \"$TO\" || exit 90
\"$PROGRAM\" migrate --from \"embedded:$FROM\" --to \"fs:$TO\" && exit 91
echo again >&2
mount -o remount,size=64m \"$TO\" || exit 92
exec \"$PROGRAM\" migrate --from \"embedded:$FROM\" --to \"fs:$TO\"";

#[test]
fn a_full_disk_is_told_and_the_copy_goes_on_when_there_is_room() {
    if !has("unshare") || run(&["unshare", "--map-root-user", "--mount", "true"].map(Into::into), &[]).code != Some(0) {
        return skipped("this needs unshare with user and mount namespaces");
    }
    let directory = directory();
    let from = At::new(&directory, "embedded", "first");
    many(&from, &directory, ENTITIES);
    let to = directory.path().join("second");
    fs::create_dir(&to).unwrap();
    let program = from.migrate(&from).program().to_str().unwrap().to_owned();
    let (from, to) = (from.path.to_str().unwrap(), to.to_str().unwrap());
    let line = ["unshare", "--map-root-user", "--mount", "sh", "-c", SCRIPT].map(Into::into);
    let variables = [("PROGRAM", program.as_str()), ("FROM", from), ("TO", to), ("MASTER_KEY", MASTER_KEY)];
    let finished = run(&line, &variables);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let (first, second) = finished.stderr.split_once("again\n").unwrap();
    assert!(first.contains("No space left on device") && first.contains("run the same command again"), "{first}");
    assert_eq!(second, "");
    assert!(written(&finished.stdout) < ENTITIES, "{finished:?}");
}
