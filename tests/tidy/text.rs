//! What is written: nothing left over, nothing of one machine, and every invariant with its test.

use std::collections::BTreeSet;

use super::{files, none, sources};

/// Every line of text that holds one of these, but for this file.
fn lines_with(needles: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in files() {
        let text = text.unwrap_or_default();
        for (number, line) in text.lines().enumerate().filter(|_| !name.ends_with("Cargo.lock")) {
            if needles.iter().any(|needle| line.contains(needle.as_str())) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim().chars().take(100).collect::<String>()));
            }
        }
    }
    found
}

#[test]
fn nothing_is_left_for_later() {
    let needles =
        [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"], ["todo", "!("], ["LEAD-", "NOTE"]].map(|halves| halves.concat());
    none("something is left over", &lines_with(&needles));
}

#[test]
fn nothing_names_a_place_on_somebodys_machine() {
    let needles = [["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/"], ["/Us", "ers/"]].map(|halves| halves.concat());
    none("a path of one machine", &lines_with(&needles));
}

/// The rows of the table of invariants: each invariant, and what stands in backticks behind it.
fn invariants() -> Vec<(String, Vec<String>)> {
    let text = files().into_iter().find(|(name, _)| name == "ARCHITECTURE.md").and_then(|(_, text)| text).unwrap();
    let section = text.split_once("\n## Invariants\n").unwrap().1.split("\n## ").next().unwrap().to_owned();
    let rows =
        section.lines().filter(|line| line.starts_with('|') && !line.starts_with("| ---") && !line.starts_with("|---"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (name, rest) = cells.split_first().unwrap();
        let tests = rest.join(" ").split('`').skip(1).step_by(2).map(str::to_owned).collect();
        ((*name).to_owned(), tests)
    };
    rows.skip(1).map(row).collect()
}

/// Whether a file is a module, or lies in it.
fn is_module(path: &str, module: &str) -> bool {
    path.trim_end_matches(".rs").split('/').any(|part| part == module)
}

fn defines(text: &str, function: &str) -> bool {
    let mut named = text.split(function).skip(1).zip(text.split(function));
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    named.any(|(after, before)| before.ends_with("fn ") && !after.starts_with(is_word))
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let invariants = invariants();
    assert!(invariants.len() >= 8, "the table of invariants in ARCHITECTURE.md has {} rows", invariants.len());
    let sources = sources();
    let paths: BTreeSet<String> = files().into_iter().map(|(name, _)| name).collect();
    let exists = |test: &str| match test.rsplit_once("::") {
        None => paths.contains(test),
        Some((module, function)) => {
            let module = module.rsplit("::").next().unwrap_or(module);
            sources.iter().any(|(name, text)| is_module(name, module) && defines(text, function))
        }
    };
    let mut wrong = Vec::new();
    for (invariant, named) in invariants {
        // A word in backticks that is neither `module::test` nor a path is a type.
        let tests: Vec<_> = named.iter().filter(|name| name.contains("::") || name.contains('/')).collect();
        if tests.is_empty() {
            wrong.push(format!("{invariant}: no test"));
        }
        wrong.extend(
            tests.into_iter().filter(|test| !exists(test)).map(|test| format!("{invariant}: there is no {test}")),
        );
    }
    none("an invariant that nothing holds", &wrong);
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let paths: Vec<String> = files().into_iter().map(|(name, _)| name).collect();
    let mut broken = Vec::new();
    for (name, text) in files().into_iter().filter(|(name, _)| name.ends_with(".md")) {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in text.unwrap_or_default().split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let joined = if folder.is_empty() { target.to_owned() } else { format!("{folder}/{target}") };
            let prefix = format!("{}/", joined.trim_end_matches('/'));
            if !paths.iter().any(|path| *path == joined || path.starts_with(&prefix)) {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    none("a link that leads nowhere", &broken);
}
