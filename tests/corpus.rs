//! What fuzzing found once stays fixed: the corpus of every target is replayed.

use std::fs;
use std::path::PathBuf;

use crate::support::workspace;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = workspace().join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 3, "the corpus of {target} has {} files", paths.len());
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn the_corpus_of_every_fuzz_target_passes() {
    let scratch = tempfile::tempdir().unwrap();
    let scratch = scratch.path().join("deltadb.toml");
    for (target, run) in delta_fuzz_targets::TARGETS {
        for (path, data) in corpus(target) {
            eprintln!("{}", path.display());
            run(&data);
        }
    }
    for (path, data) in corpus("configuration") {
        eprintln!("{}", path.display());
        delta_server::fuzzing::configuration(&data, &scratch);
    }
}

#[test]
fn every_fuzz_target_has_a_binary_and_every_corpus_a_target() {
    let names = |directory: &str| {
        let entries = fs::read_dir(workspace().join(directory)).unwrap();
        let name = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap().path())).collect();
        names.sort();
        names
    };
    let targets: Vec<String> = delta_fuzz_targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz/fuzz_targets"), targets);
    assert_eq!(names("fuzz/server/fuzz_targets"), ["configuration"]);
    let mut all = [targets, vec!["configuration".to_owned()]].concat();
    all.sort();
    assert_eq!(names("fuzz/corpus"), all);
}
