//! Copies that come to an end, and those that are refused before they begin.

use std::fs;

use serde_json::json;

use crate::support::directory;

use super::{At, done, failed, filled, same, seen};

#[test]
fn there_and_back_a_store_is_the_same_for_every_client() {
    for names in ["sealed", "plain"] {
        let (directory, from, secret, before) = filled("embedded", names);
        let shared = At::new(&directory, "fs", "second");
        let back = At::new(&directory, "embedded", "third");
        for (from, to) in [(&from, &shared), (&shared, &back)] {
            let line =
                format!("{} is the same store as {}: 56 objects, 56 written now; all compared", to.text(), from.text());
            assert_eq!(done(&from.migrate(to).run()), line);
            let server = to.serve(&directory).up();
            same(&seen(&server, &secret), &before);
            server.stop();
        }
        let server = from.serve(&directory).up();
        same(&seen(&server, &secret), &before);
    }
}

#[test]
fn a_destination_that_holds_something_is_refused_and_left_alone() {
    for (storage, other) in [("embedded", "fs"), ("fs", "embedded")] {
        let (directory, from, secret, before) = filled(storage, "sealed");
        let to = At::new(&directory, other, "second");
        done(&from.migrate(&to).run());
        to.serve(&directory).up().admin().put("/entity/chat/new", "{}").expect(201);
        let line = "error: the destination holds a store already; nothing was changed, choose an empty one";
        assert_eq!(failed(&from.migrate(&to).run(), directory.path()), line);
        assert!(failed(&from.migrate(&from).run(), directory.path()).contains("another process has the store"));
        let server = to.serve(&directory).up();
        server.admin().get("/entity/chat/new").expect(200);
        server.stop();

        let home = At::new(&directory, other, "home");
        fs::create_dir(&home.path).unwrap();
        fs::write(home.path.join("thesis.tex"), "mine").unwrap();
        assert!(failed(&from.migrate(&home).run(), directory.path()).contains("holds thesis.tex and no store"));
        assert_eq!(fs::read_dir(&home.path).unwrap().count(), 1);
        same(&seen(&from.serve(&directory).up(), &secret), &before);
    }
}

#[test]
fn a_source_that_is_open_or_none_is_refused() {
    for (storage, other) in [("embedded", "fs"), ("fs", "embedded")] {
        let (directory, from, ..) = filled(storage, "sealed");
        let to = At::new(&directory, other, "second");
        let server = from.serve(&directory).up();
        assert!(
            failed(&from.migrate(&to).run(), directory.path())
                .contains("another process has the store in DIR/first open")
        );
        server.stop();
        let none = At::new(&directory, storage, "none");
        let line = format!("error: the source: there is no store in {storage}:DIR/none; check where it is");
        assert_eq!(failed(&none.migrate(&to).run(), directory.path()), line);
        assert!(!none.path.exists());
        let wrong = from.migrate(&to).variable("MASTER_KEY", "11".repeat(32)).run();
        assert!(failed(&wrong, directory.path()).contains("the given master key is not main-key-v1"));
        done(&from.migrate(&to).run());
    }
}

#[test]
fn damage_in_the_source_is_told_and_the_copy_is_no_store() {
    let directory = directory();
    let from = At::new(&directory, "fs", "first");
    let server = from.serve(&directory).arg("--names=plain").up();
    for key in ["a", "b", "c"] {
        server.admin().put(&format!("/entity/db/{key}"), json!({"key": key}).to_string()).expect(201);
    }
    server.stop();
    fs::write(from.path.join("files/db_b.json.enc"), "no object").unwrap();
    let to = At::new(&directory, "embedded", "second");
    let finished = from.migrate(&to).run();
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{finished:?}");
    let lines: Vec<&str> = finished.stderr.lines().collect();
    assert!(lines[0].starts_with("not copied: files/db/b: "), "{finished:?}");
    assert!(lines[1].contains("is not a store; run `deltadb fsck`"), "{finished:?}");
    let refused = to.serve(&directory).run();
    assert!(refused.stderr.contains("the copy of a store that was cut short"), "{refused:?}");
    fs::remove_file(from.path.join("files/db_b.json.enc")).unwrap();
    assert!(done(&from.migrate(&to).run()).ends_with("2 objects, 0 written now; all compared"));
    let server = to.serve(&directory).up();
    assert_eq!(["a", "b", "c"].map(|key| server.admin().get(&format!("/entity/db/{key}")).status), [200, 404, 200]);
}

#[test]
fn names_that_are_too_long_for_the_destination_are_told_and_the_copy_goes_on_without_them() {
    let directory = directory();
    let from = At::new(&directory, "embedded", "first");
    let long = ["x", "y"].map(|letter| letter.repeat(243));
    let server = from.serve(&directory).arg("--names=plain").up();
    // The longest that fits, with the name of the database and what is between them.
    for key in ["a", &"z".repeat(242), &long[0], &long[1]] {
        server.admin().put(&format!("/entity/db/{key}"), json!({"key": key}).to_string()).expect(201);
    }
    server.stop();
    let to = At::new(&directory, "fs", "second");
    let finished = from.migrate(&to).run();
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{finished:?}");
    let mut lines: Vec<&str> = finished.stderr.lines().collect();
    let advice = lines.pop().unwrap();
    assert!(
        advice.contains("2 objects") && advice.contains("shorter keys") && !advice.contains("same command"),
        "{advice}"
    );
    lines.sort_unstable();
    assert_eq!(lines.len(), 2, "{finished:?}");
    for (line, key) in lines.iter().zip(&long) {
        assert!(line.starts_with(&format!("not copied: files/db/{key}: ")) && line.contains("246 bytes"), "{line}");
    }
    let refused = to.serve(&directory).run();
    assert!(refused.stderr.contains("the copy of a store that was cut short"), "{refused:?}");
    // As it was told.
    let server = from.serve(&directory).up();
    for (number, key) in long.iter().enumerate() {
        server.admin().delete(&format!("/entity/db/{key}")).expect(200);
        server.admin().put(&format!("/entity/db/short{number}"), json!({"key": key}).to_string()).expect(201);
    }
    server.stop();
    assert!(done(&from.migrate(&to).run()).ends_with("4 objects, 2 written now; all compared"));
    let server = to.serve(&directory).up();
    assert_eq!(["a", "short0", "short1"].map(|key| server.admin().get(&format!("/entity/db/{key}")).status), [200; 3]);
}
