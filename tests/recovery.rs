//! Stores of `fs` read by programs that share no line with the server: the script in `docs/recovery`, and the one that the
//! format was specified with where its documents are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use delta_tests::packages;
use delta_tests::server::Server;
use delta_tests::start::{ADMIN_KEY, Finished, MASTER_KEY, Start};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{PROGRAM, directory, run, serve, skipped, workspace};

const NEW_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// The Python of a virtual environment with what the scripts need.
fn python() -> Result<PathBuf, String> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("recovery");
    packages::python(&workspace().join("docs/recovery/requirements.txt"), &home)?;
    Ok(home.join("bin/python"))
}

/// Runs the script over a store with these master keys.
fn recover(python: &Path, command: &str, store: &Path, more: &[&str], keys: &[&str]) -> Finished {
    let mut line =
        vec![python.into(), workspace().join("docs/recovery/recover.py").into(), command.into(), store.into()];
    line.extend(more.iter().map(OsString::from));
    line.extend(keys.iter().map(|key| OsString::from(format!("--key={key}"))));
    run(&line, &[("PYTHONIOENCODING", "utf-8"), ("PYTHONDONTWRITEBYTECODE", "1")])
}

/// A document as REST gives it: its ETag and its bytes.
type Documents = BTreeMap<(String, String), (String, String)>;

/// A stopped store: several databases, every kind of name, rewrites, deletes, and two master keys.
fn store(names: &str) -> (TempDir, PathBuf, Documents) {
    let directory = directory();
    let path = directory.path().join("shared");
    let on_fs = |start: Start| start.arg("--shared-fs").arg(&path).arg("--names").arg(names);
    let server = on_fs(serve(&directory)).up();
    let longest = if names == "plain" { 200 } else { 500 };
    let mut written = Vec::new();
    for database in ["chat", "a_b", "b.c"] {
        for key in ["room-1", "b_c", "x y", ".hidden", "ключ 😀", "a%2F:", &"k".repeat(longest)] {
            let text =
                format!("{{\n  \"key\": {},\n  \"n\": 9007199254740993,\r\n  \"z\": 1.0, \"a\": []\n}}", json!(key));
            put(&server, database, key, &text);
            written.push((database.to_owned(), key.to_owned()));
        }
        put(&server, database, "gone", "1");
        server.admin().delete(&format!("/entity/{database}/gone")).expect(200);
    }
    server.stop();
    let rotated = serve(&directory).variable("MASTER_KEY", NEW_KEY);
    let server = on_fs(rotated.variable("DELTADB_PREVIOUS_KEY", format!("main-key-v1={MASTER_KEY}"))).up();
    put(&server, "chat", "room-1", "{\"under\":\"the second key\"}");
    put(&server, "new", "k", "\"only under the second key\"");
    written.push(("new".into(), "k".into()));
    let get = |(database, key): (String, String)| {
        let answer = server.admin().get(&format!("/entity/{database}/{}", encoded(&key))).expect(200);
        let etag = answer.header("etag").unwrap().to_owned();
        ((database, key), (etag, answer.text().to_owned()))
    };
    let documents = written.into_iter().map(get).collect();
    server.stop();
    (directory, path, documents)
}

fn encoded(key: &str) -> String {
    key.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn put(server: &Server, database: &str, key: &str, document: &str) {
    let answer = server.admin().put(&format!("/entity/{database}/{}", encoded(key)), document);
    assert!([200, 201].contains(&answer.status), "{answer:?}");
}

/// The lines of an export: each entity's ETag and document.
fn exported(finished: &Finished) -> BTreeMap<(String, String), (String, Value)> {
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |member: &str| line[member].as_str().unwrap().to_owned();
        ((text("database"), text("key")), (text("etag"), line["document"].clone()))
    };
    finished.stdout.lines().map(line).collect()
}

#[test]
fn the_script_reads_what_the_server_wrote() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return skipped(&why),
    };
    for names in ["sealed", "plain"] {
        let (_directory, store, documents) = store(names);
        let keys = recover(&python, "keys", &store, &[], &[]);
        assert!(keys.stdout.contains(&format!("names       {names}\n")), "{keys:?}");
        assert!(keys.stdout.contains("key         main-key-v2 (active)\n"), "{keys:?}");
        let both = [MASTER_KEY, NEW_KEY];
        let finished = recover(&python, "export", &store, &[], &both);
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
        let value = |(etag, text): &(String, String)| (etag.clone(), serde_json::from_str::<Value>(text).unwrap());
        let expected: BTreeMap<_, _> = documents.iter().map(|(id, seen)| (id.clone(), value(seen))).collect();
        assert_eq!(exported(&finished), expected);
        for ((database, key), (_, text)) in &documents {
            let one = recover(&python, "get", &store, &[database, key], &both);
            assert_eq!((one.code, &one.stdout), (Some(0), text), "{one:?}");
        }
        assert_eq!(recover(&python, "get", &store, &["chat", "gone"], &both).code, Some(1));
        assert_eq!(recover(&python, "list", &store, &["b.c"], &both).stdout.lines().count(), 7);
    }
}

#[test]
fn the_script_names_what_it_cannot_read_and_goes_on() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return skipped(&why),
    };
    let (_directory, store, documents) = store("plain");
    let newest_only = recover(&python, "export", &store, &[], &[NEW_KEY]);
    assert_eq!((newest_only.code, exported(&newest_only).len()), (Some(2), 2), "{newest_only:?}");
    assert!(newest_only.stderr.contains("chat x y: it is sealed under the master key main-key-v1"), "{newest_only:?}");
    let wrong = recover(&python, "export", &store, &[], &[MASTER_KEY]);
    assert!(wrong.code == Some(1) && wrong.stderr.contains("main-key-v2 is not among"), "{wrong:?}");
    // The generation before knows the first key alone.
    let older = recover(&python, "export", &store, &["--generation=1"], &[MASTER_KEY]);
    assert_eq!((older.code, exported(&older).len()), (Some(2), documents.len() - 2), "{older:?}");

    let both = [MASTER_KEY, NEW_KEY];
    let file = |name: &str| store.join("files").join(name);
    let mut image = fs::read(file("b.c_room-1.json.enc")).unwrap();
    let middle = image.len() / 2;
    image[middle] ^= 1;
    fs::write(file("b.c_room-1.json.enc"), image).unwrap();
    fs::copy(file("b.c_x%20y.json.enc"), file("a%5Fb_b_c.json.enc")).unwrap();
    let finished = recover(&python, "export", &store, &[], &both);
    assert_eq!((finished.code, exported(&finished).len()), (Some(2), documents.len() - 2), "{finished:?}");
    for line in ["b.c_room-1.json.enc: it does not pass its checksum", "it lies where another one belongs"] {
        assert!(finished.stderr.contains(line), "{finished:?}");
    }
}

#[test]
fn what_the_script_exports_can_be_loaded_again() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return skipped(&why),
    };
    let (directory, store, documents) = store("sealed");
    let lines = recover(&python, "export", &store, &["chat"], &[MASTER_KEY, NEW_KEY]).stdout;
    let server = serve(&directory).up();
    let load = Start::bare(PROGRAM, &["put", "chat", "--lines", "-"]).variable("DELTADB_TOKEN", ADMIN_KEY);
    let loaded = load.variable("DELTADB_URL", format!("http://{}", server.address())).input(lines).run();
    assert_eq!(loaded.code, Some(0), "{loaded:?}");
    for ((database, key), (_, text)) in documents.iter().filter(|((database, _), _)| database == "chat") {
        let answer = server.admin().get(&format!("/entity/{database}/{}", encoded(key))).expect(200);
        assert_eq!(answer.json(), serde_json::from_str::<Value>(text).unwrap());
    }
}

#[test]
fn the_reader_of_the_format_reads_what_the_server_wrote() {
    let documents = std::env::var_os("DELTA_TESTS_SEEDS_DIR").map(PathBuf::from);
    let reader = documents.map(|documents| documents.join("../format/ddb1.py")).filter(|reader| reader.is_file());
    let Some(reader) = reader else {
        return skipped("DELTA_TESTS_SEEDS_DIR does not name a directory beside the reader of the format");
    };
    let python = match python() {
        Ok(python) => python,
        Err(why) => return skipped(&why),
    };
    for names in ["sealed", "plain"] {
        let (_directory, store, documents) = store(names);
        let keys = [format!("main-key-v1={MASTER_KEY}"), format!("main-key-v2={NEW_KEY}")];
        let mut line: Vec<OsString> = vec![python.clone().into(), reader.clone().into(), "open".into(), store.into()];
        line.extend(keys.map(OsString::from));
        let finished = run(&line, &[("PYTHONIOENCODING", "utf-8"), ("PYTHONDONTWRITEBYTECODE", "1")]);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let printed = |((database, key), (etag, text)): (&(String, String), &(String, String))| {
            let version = etag.trim_start_matches('"').split('-').next().unwrap();
            // Python prints a line break as it is, and this one as one.
            format!("{database} {key} {version} {text}\n")
        };
        let expected: Vec<String> = documents.iter().map(printed).collect();
        for line in &expected {
            assert!(finished.stdout.contains(line.as_str()), "{line}: {finished:?}");
        }
        assert_eq!(finished.stdout.len(), expected.iter().map(String::len).sum::<usize>());
    }
}
