//! Schemas that people put into the directory.

use std::fs;
use std::path::Path;

use delta_tests::server::Server;

use super::{alone, two};
use crate::support::{data, directory, problem, serve};

const INTEGER: &str = r#"{"type":"integer"}"#;
const STRING: &str = r#"{"type":"string"}"#;

/// What is dropped in counts for the next write of each of these processes, and a broken one stops writes until it is whole.
fn dropped_in(templates: &Path, servers: &[&Server]) {
    let file = templates.join("db.json");
    for server in servers {
        drop(fs::remove_file(&file));
        let mut admin = server.admin();
        admin.put("/entity/db/k", "\"any\"");
        fs::write(&file, INTEGER).unwrap();
        problem(&admin.put("/entity/db/k", "\"any\""), 400, "schema_violation");
        admin.put("/entity/db/k", "1").expect(200);
        assert_eq!(admin.get("/schema/db").expect(200).text(), INTEGER);
        fs::write(&file, STRING).unwrap();
        problem(&admin.put("/entity/db/k", "1"), 400, "schema_violation");

        let before = admin.put("/entity/db/k", "\"before\"").expect(200).header("etag").unwrap().to_owned();
        for half in ["", &STRING[..9], "7", r#"{"type":"strin"}"#] {
            fs::write(&file, half).unwrap();
            let refused = admin.put("/entity/db/k", "\"after\"");
            let detail = problem(&refused, 503, "broken_template")["detail"].to_string();
            assert!(detail.contains("template db ") && refused.header("retry-after").is_some(), "{refused:?}");
            assert_eq!(admin.get("/entity/db/k").expect(200).header("etag"), Some(before.as_str()));
        }
        fs::write(&file, STRING).unwrap();
        admin.put("/entity/db/k", "\"after\"").expect(200);
        // Over the API it is mended too.
        fs::write(&file, "{").unwrap();
        admin.put("/schema/db", INTEGER).expect(200);
        assert_eq!(fs::read_to_string(&file).unwrap(), INTEGER);
        problem(&admin.put("/entity/db/k", "\"after\""), 400, "schema_violation");
        admin.delete("/schema/db").expect(200);
        assert!(!file.exists());
        admin.put("/entity/db/k", "\"any\"").expect(200);
    }
}

#[test]
fn a_template_counts_for_the_next_write_of_a_process_that_is_alone() {
    let directory = directory();
    let server = alone(&directory).up();
    dropped_in(&directory.path().join("db/templates"), &[&server]);
}

#[test]
fn a_template_counts_for_the_next_write_of_every_process() {
    let (directory, a, b) = two();
    dropped_in(&directory.path().join("db/templates"), &[&a, &b]);
}

#[test]
fn embedded_takes_templates_from_the_flags_directory_and_keeps_the_schemas_it_had() {
    let directory = directory();
    let had = r#"{"type":"boolean"}"#;
    let server = serve(&directory).up();
    server.admin().put("/schema/had", had).expect(200);
    server.admin().put("/entity/had/k", "true").expect(201);
    server.stop();
    let templates = directory.path().join("schemas");
    let server = serve(&directory).arg("--templates-dir").arg(&templates).up();
    assert_eq!(fs::read_to_string(templates.join("had.json")).unwrap(), had);
    problem(&server.admin().put("/entity/had/k", "1"), 400, "schema_violation");
    dropped_in(&templates, &[&server]);
    fs::write(templates.join("db.json"), INTEGER).unwrap();
    server.kill();
    // The directory counts from then on, named or not, and nothing is written unchecked without it.
    let server = serve(&directory).up();
    problem(&server.admin().put("/entity/db/k", "\"any\""), 400, "schema_violation");
    server.stop();
    let moved = directory.path().join("moved");
    fs::rename(&templates, &moved).unwrap();
    let refused = serve(&directory).run();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("--templates-dir") && refused.stderr.contains("schemas"), "{refused:?}");
    let server = serve(&directory).arg("--templates-dir").arg(&moved).up();
    problem(&server.admin().put("/entity/db/k", "\"any\""), 400, "schema_violation");
    problem(&server.admin().put("/entity/had/k", "1"), 400, "schema_violation");
}

#[test]
fn embedded_takes_templates_from_beside_its_data_if_somebody_made_the_directory() {
    let directory = directory();
    let templates = data(&directory).join("templates");
    fs::create_dir_all(&templates).unwrap();
    let server = serve(&directory).up();
    dropped_in(&templates, &[&server]);
}

#[test]
fn templates_lie_where_the_flag_says() {
    let directory = directory();
    let templates = directory.path().join("schemas");
    let server = alone(&directory).arg("--templates-dir").arg(&templates).up();
    dropped_in(&templates, &[&server]);
}
