//! Who may import whom, and where features choose.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::{code::without_comments_and_strings, none, sources};
use crate::support::workspace;

/// The crates of the workspace and which of each other they depend on, for any purpose.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version=1", "--no-deps", "--offline"]).current_dir(workspace());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let package = |package: &Value| {
        let name = package["name"].as_str().unwrap().to_owned();
        let inside = package["dependencies"].as_array().unwrap().iter().filter(|other| other["path"].is_string());
        (name, inside.map(|other| other["name"].as_str().unwrap().to_owned()).collect())
    };
    metadata["packages"].as_array().unwrap().iter().map(package).collect()
}

/// Whether `name` may depend on `other`.
fn allowed(name: &str, other: &str) -> bool {
    let is_plugin = |name: &str| {
        ["delta-storage-", "delta-validator-", "delta-keys-", "delta-auth-"].iter().any(|kind| name.starts_with(kind))
    };
    match name {
        "delta-core" => false,
        // What fuzzing checks of the server has its entry there.
        "delta-fuzz-targets" => other == "delta-core",
        "delta-server" => other == "delta-core" || is_plugin(other),
        "delta-tests" | "delta-bench" => other != "delta-tests" && other != "delta-bench",
        name => is_plugin(name) && other == "delta-core",
    }
}

#[test]
fn crates_depend_only_in_the_allowed_direction() {
    let dependencies = dependencies();
    assert!(dependencies.len() >= 7 && dependencies.contains_key("delta-core"), "{dependencies:?}");
    let all = dependencies.iter().flat_map(|(name, others)| others.iter().map(move |other| (name, other)));
    let wrong = all.filter(|(name, other)| !allowed(name, other)).map(|(name, other)| format!("{name} → {other}"));
    none("a crate imports one that it must not know", &wrong.collect::<Vec<_>>());
}

#[test]
fn features_choose_plugins_in_one_file_and_nothing_else() {
    let choosing = sources().into_iter().filter(|(name, text)| {
        let code = without_comments_and_strings(text).replace([' ', '\n'], "");
        name != "servers/src/plugins.rs" && (code.contains("cfg(feature") || code.contains("(feature="))
    });
    none("a feature outside of servers/src/plugins.rs", &choosing.map(|(name, _)| name).collect::<Vec<_>>());
}

#[test]
fn every_crate_takes_its_versions_and_lints_from_the_workspace() {
    let mut wrong = Vec::new();
    // What cargo-fuzz builds are workspaces of their own.
    let own = |name: &str| name == "fuzz/Cargo.toml" || name == "fuzz/server/Cargo.toml";
    for (name, text) in super::files().into_iter().filter(|(name, _)| name.ends_with("/Cargo.toml") && !own(name)) {
        let text = text.unwrap();
        let mut section = "";
        for line in text.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let versioned = line.contains(" = \"") || line.contains("version = ");
            if section.contains("dependencies") && versioned {
                wrong.push(format!("{name}: {line}"));
            }
        }
        if !text.contains("[lints]\nworkspace = true") {
            wrong.push(format!("{name}: no [lints] workspace = true"));
        }
    }
    none("a crate that goes its own way", &wrong);
}
