//! A damaged superblock: what the one before it holds, and the way back.

use delta_tests::start::MASTER_KEY;
use serde_json::json;

use crate::support::{directory, serve};

use super::{AtRest, fsck, said};

const NEW_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const EARLIER: &str = "main-key-v1=8f1c0d5be2a94736b1c7d8e9f00112233445566778899aabbccddeeff0a1b2c3";

#[test]
fn the_only_superblock_cannot_be_repaired() {
    let directory = directory();
    serve(&directory).up().admin().put("/entity/db/k", "1").expect(201);
    AtRest::open(&directory).change_superblock(|bytes| bytes.truncate(100));
    for flags in [vec!["--json"], vec!["--json", "--repair-superblock"]] {
        let finished = fsck(&directory, &flags).run();
        let (findings, summary) = said(&finished);
        assert_eq!((finished.code, findings.len(), &summary["clean"]), (Some(2), 1, &json!(false)), "{finished:?}");
        assert_eq!(findings[0]["error"], json!("damaged_superblock"));
    }
    assert!(fsck(&directory, &[]).run().stdout.contains("restore it from a backup, no other is whole"));
}

#[test]
fn a_store_goes_back_to_the_superblock_before_a_damaged_one_and_loses_nothing() {
    let directory = directory();
    serve(&directory).up().admin().put("/entity/db/old", "\"under the first key\"").expect(201);
    let both = serve(&directory).variable("MASTER_KEY", NEW_KEY).variable("DELTADB_PREVIOUS_KEY", EARLIER);
    both.up().admin().put("/entity/db/new", "\"under the second key\"").expect(201);
    AtRest::open(&directory).change_superblock(|bytes| {
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
    });

    let checked = |flags: &[&str]| {
        let finished =
            fsck(&directory, flags).variable("MASTER_KEY", NEW_KEY).variable("DELTADB_PREVIOUS_KEY", EARLIER).run();
        let (findings, summary) = said(&finished);
        let codes: Vec<_> = findings.iter().map(|finding| finding["error"].as_str().unwrap().to_owned()).collect();
        let generation = summary["store"]["generation"].as_u64();
        (finished.code, codes, generation)
    };
    // Not told to, it changes nothing, and says what the one before holds.
    let damaged = (Some(2), vec!["damaged_superblock".to_owned(), "unknown_key".to_owned()], Some(1));
    assert_eq!(checked(&["--json"]), damaged);
    assert_eq!(checked(&["--json", "--quarantine"]), damaged);
    let refused = both.run();
    assert!(refused.code == Some(1) && refused.stderr.contains("the superblock is damaged"), "{refused:?}");
    assert_eq!(checked(&["--json", "--repair-superblock"]), damaged);
    // What is sealed under the second key is locked, and stays where it is.
    assert_eq!(checked(&["--json", "--quarantine"]), (Some(2), vec!["unknown_key".to_owned()], Some(1)));

    let server = both.up();
    let mut client = server.admin();
    assert_eq!(client.get("/entity/db/old").expect(200).text(), "\"under the first key\"");
    assert_eq!(client.get("/entity/db/new").expect(200).text(), "\"under the second key\"");
    server.stop();
    assert_eq!(checked(&["--json"]), (Some(0), vec![], Some(2)));
    assert_eq!(checked(&["--json", "--repair-superblock"]), (Some(0), vec![], Some(2)));
}

#[test]
fn a_key_that_was_not_given_is_no_damage_to_be_repaired() {
    let directory = directory();
    serve(&directory).up();
    serve(&directory).variable("MASTER_KEY", NEW_KEY).variable("DELTADB_PREVIOUS_KEY", EARLIER).up();
    let finished = fsck(&directory, &["--repair-superblock"]).variable("MASTER_KEY", MASTER_KEY).run();
    assert!(finished.code == Some(1) && finished.stderr.contains("superblock generation 2"), "{finished:?}");
    serve(&directory).variable("MASTER_KEY", NEW_KEY).variable("DELTADB_PREVIOUS_KEY", EARLIER).up();
}
