//! The tree polices itself: crate direction, sizes, and what may stand where.

mod code;
mod crates;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::workspace;

/// Directories that hold nothing of ours: build products, data, and what version control keeps.
const NOT_OURS: [&str; 6] = [".git", "target", "delta-data", "__pycache__", "node_modules", "suite"];

/// Every file of ours, by its path from the root, with its text; files that are not text have none.
fn files() -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    collect(workspace(), &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(workspace()).unwrap().to_string_lossy().into_owned();
        let text = fs::read(&path).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        (name, text)
    };
    found.into_iter().map(read).collect()
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let ours = path.file_name().is_some_and(|name| !NOT_OURS.iter().any(|other| name == *other));
        match ours {
            true if path.is_dir() => collect(&path, found),
            true => found.push(path),
            false => {}
        }
    }
}

/// Every Rust file: path and text.
fn sources() -> Vec<(String, String)> {
    let rust = files().into_iter().filter(|(name, _)| name.ends_with(".rs"));
    let sources: Vec<_> = rust.map(|(name, text)| (name, text.unwrap_or_default())).collect();
    assert!(sources.len() > 50, "the tree was not found");
    sources
}

/// Fails with one line for each thing found.
#[track_caller]
fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}
