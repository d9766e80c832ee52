//! A store of `embedded`: damage among its objects, what is asked of the operator, and what a check never does.

use std::collections::BTreeSet;

use delta_tests::random::Random;
use delta_tests::start::{MASTER_KEY, Start};
use serde_json::json;

use crate::support::{PROGRAM, data, directory, has, serve, skipped};

use super::{AtRest, damaged, fill, fsck, said, status, store};

#[test]
fn a_whole_store_is_clean() {
    for names in ["sealed", "plain"] {
        let directory = directory();
        let server = serve(&directory).arg("--names").arg(names).up();
        fill(&server, 20, 300);
        let mut client = server.admin();
        client.put("/schema/chat", "{\"type\":\"object\"}").expect(200);
        client.put("/api/databases/chat", json!({"schema_id": "chat"}).to_string()).expect(200);
        crate::support::api_key(&server, json!({"name": "ci", "permissions": ["read"]}));
        let session = crate::support::login(&server, delta_tests::start::ADMIN_KEY);
        server.anonymous().bearer(&session).post("/api/logout", "").expect(200);
        client.delete("/entity/chat?key=key%201_%C3%BC").expect(200);
        server.stop();
        let finished = fsck(&directory, &["--json"]).run();
        let (findings, summary) = said(&finished);
        assert_eq!((finished.code, findings.len()), (Some(0), 0), "{finished:?}");
        let whole = |count: u64| json!({"whole": count, "broken": 0});
        let objects =
            json!({"entities": whole(59), "schemas": whole(2), "credentials": whole(2), "settings": whole(1)});
        assert_eq!(summary["objects"], objects);
        assert_eq!((&summary["store"]["names"], &summary["clean"]), (&json!(names), &json!(true)));
        let finished = fsck(&directory, &[]).run();
        assert!(
            finished.stdout.ends_with("clean: everything opens, under the name it was written for\n"),
            "{finished:?}"
        );
        assert_eq!(finished.stderr, "");
        serve(&directory).up();
    }
}

#[test]
fn exactly_the_damaged_entities_are_found_and_moved_aside_only_when_told() {
    let directory = directory();
    let server = serve(&directory).up();
    let all = fill(&server, 40, 300);
    server.stop();
    let mut random = Random::new(Random::seed());
    let at_rest = AtRest::open(&directory);
    let mut hit = BTreeSet::new();
    // What is hit in its header can only be named by its name at rest, and a long one is not in there.
    for (at, entity) in all.iter().enumerate().filter(|(at, (_, key))| at % 4 == 0 && key.len() < 100) {
        let name = at_rest.entity(entity);
        let mut image = at_rest.get(&name);
        match at % 3 {
            0 => {
                let bit = random.index(image.len() * 8);
                image[bit / 8] ^= 1 << (bit % 8);
            }
            1 => image.truncate(random.index(image.len())),
            _ => image = at_rest.get(&at_rest.entity(all.iter().nth(at + 1).unwrap())),
        }
        at_rest.put(&name, image);
        hit.insert(entity.clone());
    }
    drop(at_rest);

    assert_eq!(damaged(&fsck(&directory, &["--json"]).run()), hit, "{random:?}");
    let server = serve(&directory).up();
    for entity in &all {
        assert_eq!(status(&server, entity), if hit.contains(entity) { 500 } else { 200 }, "{entity:?}");
    }
    server.stop();
    assert_eq!(damaged(&fsck(&directory, &["--json", "--quarantine"]).run()), hit);
    assert_eq!(damaged(&fsck(&directory, &["--json", "--quarantine"]).run()), BTreeSet::new());
    let server = serve(&directory).up();
    for entity in &all {
        assert_eq!(status(&server, entity), if hit.contains(entity) { 404 } else { 200 }, "{entity:?}");
    }
    let (database, key) = hit.first().unwrap();
    server.admin().put(&format!("/entity/{database}"), json!({key.clone(): 1}).to_string()).expect(200);
    server.stop();
    assert_eq!(damaged(&fsck(&directory, &["--json"]).run()), BTreeSet::new());
}

#[test]
fn a_finding_says_whose_it_is_and_what_to_do() {
    let directory = directory();
    let server = serve(&directory).up();
    server.admin().put("/entity/chat/room", "1").expect(201);
    server.stop();
    let at_rest = AtRest::open(&directory);
    let name = at_rest.entity(&("chat".into(), "room".into()));
    at_rest.put(&name, vec![7; 300]);
    drop(at_rest);
    let finished = fsck(&directory, &[]).run();
    let lines: Vec<&str> = finished.stdout.lines().skip(1).collect();
    let first =
        format!("damaged: entity \"room\" of database chat: an object does not pass its checksum; it lies at {name}");
    assert_eq!((finished.code, lines[0]), (Some(2), first.as_str()), "{finished:?}");
    assert!(lines[1].starts_with("entities") && lines[2].contains("--quarantine"), "{finished:?}");
    let finished = fsck(&directory, &["--quarantine"]).run();
    let line = finished.stdout.lines().nth(1).unwrap();
    assert!(line.starts_with("damaged, moved to _quarantine: entity \"room\""), "{finished:?}");
    assert_eq!(finished.code, Some(2), "what was found was damaged");
    assert_eq!(fsck(&directory, &[]).run().code, Some(0));
}

#[test]
fn a_check_that_cannot_run_says_why_and_makes_nothing() {
    let directory = directory();
    let line = |start: &Start| {
        let finished = start.run();
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
        finished.stderr.replace(&directory.path().display().to_string(), "DIR")
    };
    assert_eq!(
        line(&fsck(&directory, &[])),
        "error: there is no store in embedded:DIR/data/store; check where it is\n"
    );
    std::fs::create_dir_all(store(&directory)).unwrap();
    line(&fsck(&directory, &[]));
    assert_eq!(std::fs::read_dir(store(&directory)).unwrap().count(), 0, "nothing is made");
    let server = serve(&directory).up();
    let busy = "error: another process has the store in DIR/data/store open; stop it, or choose another --data-dir\n";
    assert_eq!(line(&fsck(&directory, &[])), busy);
    server.admin().put("/entity/db/k", "1").expect(201);
    server.stop();
    let wrong = fsck(&directory, &[]).variable("MASTER_KEY", MASTER_KEY.replace('8', "9"));
    assert!(line(&wrong).contains("the given master key is not main-key-v1 of this store"));
    assert!(line(&fsck(&directory, &[]).without("MASTER_KEY")).contains("needs its master key main-key-v1"));
    assert!(line(&fsck(&directory, &["--quarantine", "--repair-superblock"])).contains("cannot be used with"));
    assert_eq!(fsck(&directory, &[]).run().code, Some(0));
    serve(&directory).up().admin().get("/entity/db/k").expect(200);
}

#[test]
fn a_log_with_a_damaged_entry_is_reported() {
    let directory = directory();
    let server = serve(&directory).up();
    fill(&server, 20, 300);
    server.kill();
    let tree = store(&directory).join("tree");
    let entries = std::fs::read_dir(tree).unwrap().map(|entry| entry.unwrap().path());
    let log = entries.filter(|path| path.extension().is_some_and(|end| end == "jnl")).max().unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes[end / 2] ^= 0x10;
    std::fs::write(&log, bytes).unwrap();
    let finished = fsck(&directory, &["--json"]).run();
    let (findings, _) = said(&finished);
    assert_eq!((finished.code, &findings[0]["error"]), (Some(2), &json!("damaged_store")), "{finished:?}");
}

#[test]
fn there_is_a_bar_on_a_terminal_and_nothing_on_a_pipe() {
    if !has("script") {
        return skipped("this needs script (util-linux) for a terminal");
    }
    let directory = directory();
    let server = serve(&directory).up();
    fill(&server, 5, 300);
    server.stop();
    let start = fsck(&directory, &[]);
    let command = format!("exec {} fsck", start.program().display());
    let line = ["--quiet", "--return", "--command", &command, "/dev/null"];
    let terminal = start.line("script", &line).variable("TERM", "xterm").run();
    assert!(terminal.code == Some(0) && terminal.stdout.contains("15/15"), "{terminal:?}");
    let pipe = fsck(&directory, &[]).run();
    assert!(pipe.code == Some(0) && pipe.stderr.is_empty() && !pipe.stdout.contains("15/15"), "{pipe:?}");
    assert!(data(&directory).exists() && !PROGRAM.is_empty());
}
