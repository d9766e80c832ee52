//! A store of `fs`: bits flipped in its files, objects in each other's place, sidecars and files of others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use delta_tests::random::Random;
use delta_tests::start::Start;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{directory, serve};

use super::{damaged, fill, fsck, said, status};

fn root(directory: &TempDir) -> PathBuf {
    directory.path().join("shared")
}

/// The same on a store of `fs`.
fn on_fs(start: Start, directory: &TempDir) -> Start {
    start.variable("DELTADB_STORAGE", "fs").variable("DELTADB_STORAGE__PATH", root(directory))
}

fn check(directory: &TempDir, flags: &[&str]) -> delta_tests::start::Finished {
    on_fs(fsck(directory, flags), directory).run()
}

/// Every file below a directory with this ending.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| if path.is_dir() { files(&path, ending) } else { vec![path] });
    let mut found: Vec<_> = found.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
    found.sort();
    found
}

/// Which entity each file is, as a check says it while a bit is flipped in every one of them.
fn whose(directory: &TempDir) -> BTreeMap<PathBuf, (String, String)> {
    let all = files(&root(directory).join("files"), ".json.enc");
    let images: Vec<_> = all.iter().map(|path| fs::read(path).unwrap()).collect();
    all.iter().zip(&images).for_each(|(path, image)| {
        let mut image = image.clone();
        *image.last_mut().unwrap() ^= 1;
        fs::write(path, image).unwrap();
    });
    let (findings, _) = said(&check(directory, &["--json"]));
    all.iter().zip(&images).for_each(|(path, image)| fs::write(path, image).unwrap());
    assert_eq!(findings.len(), all.len());
    let stem = |path: &Path| path.file_name().unwrap().to_str().unwrap().trim_end_matches(".json.enc").to_owned();
    let text = |finding: &Value, member: &str| finding[member].as_str().unwrap().to_owned();
    let by_stem: BTreeMap<_, _> = all.iter().map(|path| (stem(path), path.clone())).collect();
    let entity = |finding: &Value| {
        let object = text(finding, "object");
        let (group, name) = object.trim_start_matches("files/").split_once('/').unwrap();
        let path = by_stem.get(name).or_else(|| by_stem.get(&format!("{group}_{name}"))).unwrap().clone();
        (path, (text(finding, "database"), text(finding, "key")))
    };
    findings.iter().map(entity).collect()
}

#[test]
fn flipped_cut_and_swapped_files_are_found_and_nothing_else() {
    for names in ["sealed", "plain"] {
        let directory = directory();
        let server = on_fs(serve(&directory), &directory).arg("--names").arg(names).up();
        // A plain name must fit into the name of a file.
        let all = fill(&server, 30, if names == "plain" { 100 } else { 300 });
        server.stop();
        assert_eq!(damaged(&check(&directory, &["--json"])), BTreeSet::new());
        let owners = whose(&directory);
        assert_eq!(owners.values().cloned().collect::<BTreeSet<_>>(), all);
        // What is hit in its header can only be named by its name at rest, and a long one is not in there.
        let paths: Vec<&PathBuf> =
            owners.iter().filter(|(_, (_, key))| key.len() < 100).map(|(path, _)| path).collect();
        let mut random = Random::new(Random::seed());
        let mut hit = BTreeSet::new();
        for (at, pair) in paths.chunks_exact(2).enumerate().filter(|(at, _)| at % 3 == 0) {
            let mut image = fs::read(pair[0]).unwrap();
            match at % 4 {
                0 => {
                    let bit = random.index(image.len() * 8);
                    image[bit / 8] ^= 1 << (bit % 8);
                }
                1 => image.truncate(random.index(image.len())),
                2 => image.push(0),
                _ => {
                    fs::write(pair[1], &image).unwrap();
                    hit.insert(owners[pair[1]].clone());
                    continue;
                }
            }
            fs::write(pair[0], image).unwrap();
            hit.insert(owners[pair[0]].clone());
        }
        assert_eq!(damaged(&check(&directory, &["--json"])), hit, "{random:?}");
        let server = on_fs(serve(&directory), &directory).up();
        for entity in &all {
            assert_eq!(status(&server, entity), if hit.contains(entity) { 500 } else { 200 }, "{entity:?}");
        }
        server.stop();
        assert_eq!(damaged(&check(&directory, &["--json", "--quarantine"])), hit);
        assert_eq!(damaged(&check(&directory, &["--json"])), BTreeSet::new());
        assert_eq!(files(&root(&directory).join("_quarantine"), ".json.enc").len(), hit.len());
        let server = on_fs(serve(&directory), &directory).up();
        for entity in &all {
            assert_eq!(status(&server, entity), if hit.contains(entity) { 404 } else { 200 }, "{entity:?}");
        }
    }
}

#[test]
fn records_schemas_and_names_that_lead_elsewhere_are_told_apart() {
    let directory = directory();
    let server = on_fs(serve(&directory), &directory).up();
    let mut client = server.admin();
    fill(&server, 2, 20);
    client.put("/schema/chat", "{\"type\":\"object\"}").expect(200);
    client.put("/api/databases/users.v2", json!({"require_schema": true}).to_string()).expect(200);
    let key = crate::support::api_key(&server, json!({"name": "ci", "permissions": ["read"]}));
    server.stop();
    let root = root(&directory);
    for space in ["_auth", "_databases"] {
        fs::write(&files(&root.join(space), ".json.enc")[0], "no object").unwrap();
    }
    fs::write(root.join("templates/chat.json"), "{\"type\": ").unwrap();
    let entity = files(&root.join("files"), ".json.enc").remove(0);
    // As with plain names: it is listed, and found under no name of this store.
    fs::copy(&entity, root.join("files/chat_room.json.enc")).unwrap();
    let finished = check(&directory, &[]);
    assert_eq!(finished.code, Some(2));
    let expected = [
        format!("damaged: API key {}: ", key.id),
        "damaged: the settings of database users.v2: ".into(),
        "damaged: schema chat: ".into(),
        "misplaced: one of the entities, of which the name does not open: ".into(),
    ];
    for line in expected {
        assert!(finished.stdout.lines().any(|said| said.starts_with(&line)), "{line}: {finished:?}");
    }
    let (findings, _) = said(&check(&directory, &["--json", "--quarantine"]));
    let moved: BTreeMap<_, _> =
        findings.iter().map(|finding| (finding["kind"].as_str().unwrap(), finding["quarantined"].clone())).collect();
    let (yes, no) = (json!(true), json!(false));
    let expected = [("credentials", yes.clone()), ("entities", no), ("schemas", yes.clone()), ("settings", yes)];
    assert_eq!(moved, BTreeMap::from(expected));
    on_fs(serve(&directory), &directory).up();
}

#[test]
fn sidecars_are_mended_and_foreign_files_told_of() {
    let directory = directory();
    let server = on_fs(serve(&directory), &directory).up();
    fill(&server, 4, 20);
    server.stop();
    let root = root(&directory);
    let sidecars = files(&root.join("files"), ".meta.json");
    assert_eq!(sidecars.len(), 12);
    let whole = fs::read(&sidecars[0]).unwrap();
    fs::remove_file(&sidecars[0]).unwrap();
    fs::write(&sidecars[1], "{}").unwrap();
    fs::write(sidecars[2].with_file_name("gone.meta.json"), "{}").unwrap();
    fs::write(root.join("_auth/thesis.tex"), "mine").unwrap();
    fs::write(sidecars[3].with_file_name(".t-0000000000000bad-1"), "half").unwrap();
    let strays = || {
        let finished = check(&directory, &["--json"]);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        said(&finished).1["strays"].clone()
    };
    let expected = json!({"foreign": 1, "leftovers removed": 1, "sidecars removed": 1, "sidecars renewed": 2});
    assert_eq!(strays(), expected);
    assert_eq!(strays(), json!({"foreign": 1}));
    assert_eq!(fs::read(&sidecars[0]).unwrap(), whole);
    let said = check(&directory, &[]);
    assert!(said.stdout.contains("_auth/thesis.tex is nothing of this store's"), "{said:?}");
    assert!(root.join("_auth/thesis.tex").exists());
}

#[test]
fn a_store_that_a_server_has_open_is_refused() {
    let directory = directory();
    let server = on_fs(serve(&directory), &directory).up();
    for access in ["alone", "shared"] {
        let finished = on_fs(fsck(&directory, &[]), &directory).variable("DELTADB_STORAGE__ACCESS", access).run();
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
        assert!(finished.stderr.contains("has the store in"), "{finished:?}");
    }
    server.stop();
    let shared = on_fs(serve(&directory), &directory).variable("DELTADB_STORAGE__ACCESS", "shared").up();
    // A check is alone, whatever the servers' setting is.
    let finished = on_fs(fsck(&directory, &[]), &directory).variable("DELTADB_STORAGE__ACCESS", "shared").run();
    assert!(finished.code == Some(1) && finished.stderr.contains("has the store in"), "{finished:?}");
    shared.stop();
    assert_eq!(check(&directory, &[]).code, Some(0));
}
