//! The official test suite: every required test of every draft, each exception by name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use boon::Draft;
use delta_core::document::{DEPTH_MAX_CEILING, Document};
use delta_core::name::SchemaId;
use delta_core::validator::CompiledSchema;
use serde_json::{Value, json};

use crate::JsonSchema;

/// What must fail: file, group and test of draft 2020-12. There is one reason for all of them: the suite
/// asks for formats that are not asserted, and here they are asserted in every draft.
const FORMATS_ARE_ASSERTED: &[(&str, &str, &str)] = &[
    ("format.json", "email format", "invalid email string is only an annotation by default"),
    ("format.json", "idn-email format", "invalid idn-email string is only an annotation by default"),
    ("format.json", "regex format", "invalid regex string is only an annotation by default"),
    ("format.json", "ipv4 format", "invalid ipv4 string is only an annotation by default"),
    ("format.json", "ipv6 format", "invalid ipv6 string is only an annotation by default"),
    ("format.json", "idn-hostname format", "invalid idn-hostname string is only an annotation by default"),
    ("format.json", "hostname format", "invalid hostname string is only an annotation by default"),
    ("format.json", "date format", "invalid date string is only an annotation by default"),
    ("format.json", "date-time format", "invalid date-time string is only an annotation by default"),
    ("format.json", "time format", "invalid time string is only an annotation by default"),
    ("format.json", "json-pointer format", "invalid json-pointer string is only an annotation by default"),
    (
        "format.json",
        "relative-json-pointer format",
        "invalid relative-json-pointer string is only an annotation by default",
    ),
    ("format.json", "iri format", "invalid iri string is only an annotation by default"),
    ("format.json", "iri-reference format", "invalid iri-reference string is only an annotation by default"),
    ("format.json", "uri format", "invalid uri string is only an annotation by default"),
    ("format.json", "uri-reference format", "invalid uri-reference string is only an annotation by default"),
    ("format.json", "uri-template format", "invalid uri-template string is only an annotation by default"),
    ("format.json", "uuid format", "invalid uuid string is only an annotation by default"),
    ("format.json", "duration format", "invalid duration string is only an annotation by default"),
];

/// The drafts, as the suite calls their directories and as a schema names them.
const DRAFTS: &[(&str, Draft, &str)] = &[
    ("draft4", Draft::V4, "http://json-schema.org/draft-04/schema#"),
    ("draft6", Draft::V6, "http://json-schema.org/draft-06/schema#"),
    ("draft7", Draft::V7, "http://json-schema.org/draft-07/schema#"),
    ("draft2019-09", Draft::V2019_09, "https://json-schema.org/draft/2019-09/schema"),
    ("draft2020-12", Draft::V2020_12, "https://json-schema.org/draft/2020-12/schema"),
];

/// The suite's own server stands for the store here: its paths become schema ids.
const REMOTES: &str = "http://localhost:1234/";

/// The schema id of an address in the suite.
pub(crate) fn schema_id(url: &str) -> Option<SchemaId> {
    SchemaId::parse(&url.strip_prefix(REMOTES)?.replace('/', "__")).ok()
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite")
}

/// Everything below `remotes/`, by schema id.
fn remotes() -> BTreeMap<SchemaId, Value> {
    let root = directory().join("remotes");
    let (mut found, mut directories) = (BTreeMap::new(), vec![root.clone()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            found.insert(schema_id(&format!("{REMOTES}{name}")).unwrap(), read(&path));
        }
    }
    found
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn document(value: &Value) -> Document {
    Document::parse(value.to_string().as_bytes(), DEPTH_MAX_CEILING).unwrap()
}

/// A schema of a draft; the older directories leave it unsaid.
fn of_draft(mut schema: Value, name: &str) -> Value {
    if let Value::Object(members) = &mut schema {
        members.entry("$schema").or_insert(json!(name));
    }
    schema
}

/// Runs one directory, and gives how many tests passed and what failed, as (file, group, test, what happened).
fn run(directory_name: &str, schema_name: &str) -> (usize, Vec<[String; 4]>) {
    let remotes = remotes();
    let lookup = |id: &SchemaId| remotes.get(id).map(|schema| document(&of_draft(schema.clone(), schema_name)));
    let (mut passed, mut failed) = (0, Vec::new());
    let mut files: Vec<_> = fs::read_dir(directory().join("tests").join(directory_name)).unwrap().collect();
    files.sort_by_key(|file| file.as_ref().unwrap().path());
    for file in files {
        let file = file.unwrap();
        for group in read(&file.path()).as_array().unwrap() {
            let schema = document(&of_draft(group["schema"].clone(), schema_name));
            let compiled = JsonSchema::default().compiled(&SchemaId::parse("test").unwrap(), &schema, &lookup);
            if let Some(compiled) = compiled.as_ref().ok().filter(|compiled| !compiled.graph.meta) {
                // What boon compiled is what was bounded; two more ask for the verdict.
                assert_eq!(compiled.schemas.size(), compiled.graph.nodes.len() + 2, "{}", group["description"]);
            }
            for test in group["tests"].as_array().unwrap() {
                let checked = compiled
                    .as_ref()
                    .map_err(ToString::to_string)
                    .and_then(|compiled| compiled.check(&document(&test["data"])).map_err(|error| error.to_string()));
                let outcome = match checked {
                    Ok(violations) if violations.is_empty() == test["valid"].as_bool().unwrap() => {
                        passed += 1;
                        continue;
                    }
                    Ok(violations) => format!("{violations:?}"),
                    Err(error) => error,
                };
                let name = |value: &Value| value["description"].as_str().unwrap().to_owned();
                failed.push([file.file_name().into_string().unwrap(), name(group), name(test), outcome]);
            }
        }
    }
    (passed, failed)
}

fn check(draft: Draft) {
    let (directory, _, name) = DRAFTS.iter().find(|entry| entry.1 == draft).unwrap();
    let exceptions = if draft == Draft::V2020_12 { FORMATS_ARE_ASSERTED } else { &[] };
    let (passed, failed) = run(directory, name);
    println!("{directory}: {passed} required tests pass, {} are exceptions: formats are asserted", failed.len());
    let is = |failure: &[String; 4], known: &(&str, &str, &str)| failure[..3] == [known.0, known.1, known.2];
    for failure in &failed {
        println!("  {} / {} / {}", failure[0], failure[1], failure[2]);
        assert!(exceptions.iter().any(|known| is(failure, known)), "no exception: {failure:#?}");
    }
    for known in exceptions {
        assert!(failed.iter().any(|failure| is(failure, known)), "no exception any more: {known:?}");
    }
    assert!(passed > 500, "the suite is not all there");
}

#[test]
fn draft_4() {
    check(Draft::V4);
}

#[test]
fn draft_6() {
    check(Draft::V6);
}

#[test]
fn draft_7() {
    check(Draft::V7);
}

#[test]
fn draft_2019_09() {
    check(Draft::V2019_09);
}

#[test]
fn draft_2020_12() {
    check(Draft::V2020_12);
}
