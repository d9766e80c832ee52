//! Stores to try things on, and this program again as another process.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use bytes::Bytes;
use delta_core::conformance;
use delta_core::storage::{Expect, ObjectName, Space, Storage};
use delta_storage_embedded::{Config, EmbeddedStorage};

/// Tells a helper where its store is.
const DIRECTORY: &str = "EMBEDDED_TEST_DIRECTORY";

pub(crate) fn name(text: &str) -> ObjectName {
    conformance::name(Space::Entities, "0123abcd", text)
}

/// The store that nobody has open. A process that another test is just starting holds a copy of the lock for a moment.
pub(crate) fn open(directory: &Path) -> delta_core::Result<EmbeddedStorage> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match try_open(directory) {
            Err(error) if error.to_string().contains("another process") && Instant::now() < deadline => {
                std::thread::yield_now();
            }
            opened => return opened,
        }
    }
}

/// The store, whoever has it open.
pub(crate) fn try_open(directory: &Path) -> delta_core::Result<EmbeddedStorage> {
    EmbeddedStorage::open(&Config::new(directory))
}

/// The store with buffers that are soon full.
pub(crate) fn open_with_small_buffers(directory: &Path) -> EmbeddedStorage {
    let mut config = Config::new(directory);
    config.write_buffer_bytes = 1 << 20;
    EmbeddedStorage::open(&config).unwrap()
}

/// Puts objects under names that were free, and answers what was put.
pub(crate) async fn fill(storage: &EmbeddedStorage, count: u64) -> Vec<(ObjectName, Bytes)> {
    let mut filled = Vec::new();
    for seed in 0..count {
        let (name, object) = (name(&format!("n{seed}")), conformance::object(seed, 200));
        storage.put(&name, &object, &Expect::Absent).await.unwrap();
        filled.push((name, object.bytes().clone()));
    }
    filled
}

/// Everything that was filled is there.
pub(crate) async fn verify(storage: &EmbeddedStorage, filled: &[(ObjectName, Bytes)]) {
    for (name, bytes) in filled {
        let found = storage.get(name).await.unwrap().map(|stored| stored.bytes);
        assert_eq!(found.as_ref(), Some(bytes), "{name:?}");
    }
}

/// The files of the tree's log, oldest first.
pub(crate) fn logs(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory.join("tree")).unwrap();
    let mut logs: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.extension() == Some(OsStr::new("jnl")));
    logs.sort_by_key(|path| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap());
    logs
}

/// The store of a helper, where this process is one.
pub(crate) fn helper_directory() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}

/// Runs an ignored test of this program, which does something in `directory`, as a process of its own.
pub(crate) fn run_helper(wrapper: &[&OsStr], helper: &str, directory: &Path) -> Output {
    let this = std::env::current_exe().unwrap();
    let mut words: Vec<&OsStr> = wrapper.to_vec();
    words.push(this.as_os_str());
    words.extend(["--ignored", "--exact", helper, "--nocapture", "--test-threads=1"].map(OsStr::new));
    let (program, arguments) = words.split_first().unwrap();
    Command::new(program).args(arguments).env(DIRECTORY, directory).output().unwrap()
}

/// Fails with what a helper said, unless it passed.
#[track_caller]
pub(crate) fn assert_passed(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Whether system calls can be watched and made to fail here; says so if not.
pub(crate) fn has_strace(test: &str) -> bool {
    // Where tracing is forbidden strace is there and fails.
    let works = Command::new("strace").args(["-o", "/dev/null", "true"]).output().is_ok_and(|out| out.status.success());
    if !works {
        println!("SKIPPED {test}: it needs strace (Debian: apt-get install strace) and the right to trace");
    }
    works
}
