//! A new master key at a start: the old one still reads, the new one writes.

use delta_tests::start::{MASTER_KEY, Start};
use serde_json::json;

use crate::support::{directory, serve};

const NEW_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const NEWEST_KEY: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

fn keys(start: Start, master: &str, previous: &[(&str, &str)]) -> Start {
    let start = start.variable("MASTER_KEY", master);
    previous.iter().fold(start, |start, (id, key)| start.arg("--previous-key").arg(format!("{id}={key}")))
}

#[test]
fn a_new_master_key_becomes_active_and_the_old_one_still_reads() {
    let directory = directory();
    let server = serve(&directory).up();
    let mut client = server.admin();
    client.put("/entity/db/old", "\"written under the first\"").expect(201);
    let session = client.post("/api/login", json!({"key": delta_tests::start::ADMIN_KEY}).to_string());
    let session = session.json()["token"].as_str().unwrap().to_owned();
    server.stop();

    let second = keys(serve(&directory), NEW_KEY, &[("main-key-v1", MASTER_KEY)]);
    let server = second.up();
    let mut client = server.admin();
    assert_eq!(client.get("/admin/workers").json()[0]["key_id"], json!("main-key-v2"));
    assert_eq!(client.get("/entity/db/old").expect(200).text(), "\"written under the first\"");
    client.put("/entity/db/new", "\"written under the second\"").expect(201);
    client.put("/entity/db/old", "\"rewritten under the second\"").expect(200);
    server.anonymous().bearer(&session).get("/api/me").expect(200);
    server.kill();

    // The same keys again make no third one.
    let server = second.up();
    assert_eq!(server.admin().get("/admin/workers").json()[0]["key_id"], json!("main-key-v2"));
    server.stop();

    // Under another id than the store knows: a key is recognised by its check value.
    let server = keys(serve(&directory), NEWEST_KEY, &[("whatever", MASTER_KEY), ("else", NEW_KEY)]).up();
    let mut client = server.admin();
    assert_eq!(client.get("/admin/workers").json()[0]["key_id"], json!("main-key-v3"));
    assert_eq!(client.get("/entity/db/old").expect(200).text(), "\"rewritten under the second\"");
    assert_eq!(client.get("/entity/db/new").expect(200).text(), "\"written under the second\"");
    server.stop();

    for (start, missing) in [
        (keys(serve(&directory), NEWEST_KEY, &[]), "main-key-v1"),
        (keys(serve(&directory), NEWEST_KEY, &[("main-key-v1", MASTER_KEY)]), "main-key-v2"),
        (keys(serve(&directory), MASTER_KEY, &[("main-key-v2", NEW_KEY)]), "main-key-v3"),
    ] {
        let finished = start.run();
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains(&format!("--previous-key {missing}=HEX")), "{finished:?}");
    }
}
