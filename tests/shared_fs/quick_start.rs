//! A directory as its operator finds it: new, or with templates in it already.

use std::fs;

use super::{alone, beside_others};
use crate::support::{PROGRAM, data, dev, directory, serve};

#[test]
fn a_directory_in_which_only_templates_lie_is_a_new_store() {
    let directory = directory();
    let templates = directory.path().join("db/templates");
    fs::create_dir_all(directory.path().join("db/files")).unwrap();
    fs::create_dir_all(&templates).unwrap();
    fs::write(templates.join("db.json"), r#"{"type":"integer"}"#).unwrap();
    let server = alone(&directory).up();
    server.admin().put("/entity/db/k", "\"1\"").expect(400);
    server.admin().put("/entity/db/k", "1").expect(201);
    let printed = server.kill().output;
    assert!(printed.contains(&format!("Data:      {}\n", directory.path().join("db").display())), "{printed}");
    assert_eq!(alone(&directory).up().admin().get("/entity/db/k").expect(200).text(), "1");
}

#[test]
fn the_storage_alone_keeps_its_store_below_the_working_directory() {
    let directory = directory();
    let server = serve(&directory).arg("--storage=fs").directory(directory.path()).up();
    server.admin().put("/entity/db/k", "1").expect(201);
    assert!(directory.path().join("shared/db/_store").is_dir());
}

#[test]
fn a_development_server_keeps_its_keys_in_the_data_directory() {
    let directory = directory();
    let start = dev(&directory).arg("--shared-fs").arg(directory.path().join("db"));
    let key = |server: &delta_tests::server::Server| {
        let key = fs::read_to_string(data(&directory).join("dev-admin.key")).unwrap();
        server.anonymous().bearer(key.trim())
    };
    let server = start.up();
    key(&server).put("/entity/db/k", "1").expect(201);
    assert!(data(&directory).join("dev-master.key").is_file());
    server.kill();
    let server = start.up();
    assert_eq!(key(&server).get("/entity/db/k").expect(200).text(), "1");
}

#[test]
fn a_store_is_checked_only_while_nobody_serves_it() {
    let directory = directory();
    let start = beside_others(&directory).variable("DELTADB_MULTI_MAIN", "true");
    let server = start.up();
    server.admin().put("/entity/db/k", "1").expect(201);
    let store = directory.path().join("db").display().to_string();
    let check = start.clone().line(PROGRAM, &["fsck", "--shared-fs", &store]);
    let refused = check.run();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("has the store"), "{refused:?}");
    server.stop();
    let checked = check.run();
    assert_eq!(checked.code, Some(0), "{checked:?}");
}
