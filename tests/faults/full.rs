//! A full disk: writes are refused with the reason, reads go on, and so do writes once there is room again.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use delta_tests::http::Client;
use delta_tests::mounts::Small;
use delta_tests::storages::Storage;

use crate::support::{PROGRAM, directory, skipped};

/// The size of the disk.
const DISK_BYTES: u64 = 96 << 20;
/// A document of about 200 kB.
const DOCUMENT_BYTES: usize = 200_000;
/// How many of them never fit.
const WRITES_MAX: usize = 1_000;

fn document(at: usize) -> String {
    format!("{{\"at\":{at},\"text\":\"{}\"}}", "x".repeat(DOCUMENT_BYTES))
}

/// Fills what is free of a disk but for a little.
fn fill(file: &Path) {
    let mut ballast = File::create(file).unwrap();
    let chunk = vec![b'b'; 64 << 10];
    while ballast.write_all(&chunk).is_ok() {}
    let length = ballast.metadata().unwrap().len();
    ballast.set_len(length.saturating_sub(2 << 20)).unwrap();
}

/// Writes until the disk is full, and says how many documents were acknowledged.
fn until_full(client: &mut Client) -> usize {
    for at in 0..WRITES_MAX {
        let answer = client.put(&format!("/entity/db/k{at}"), document(at));
        if answer.status == 201 {
            continue;
        }
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(matches!(answer.status, 503 | 507), "{answer:?}");
        assert!(detail.contains("No space left on device"), "{answer:?}");
        return at;
    }
    panic!("the disk is never full");
}

fn all_there(client: &mut Client, written: usize) {
    for at in 0..written {
        assert_eq!(client.get(&format!("/entity/db/k{at}")).expect(200).text(), document(at));
    }
}

fn goes_on(storage: Storage, needs_restart: bool) {
    let directory = directory();
    let disk = match Small::new(&directory.path().join("small"), DISK_BYTES) {
        Ok(disk) => disk,
        Err(why) => return skipped(&format!("it needs root: {why}")),
    };
    let data = disk.path().join("data");
    let start = storage.serve(PROGRAM, &data);
    let mut server = start.up();
    let mut client = server.admin();
    client.put("/entity/db/before", "1").expect(201);
    let ballast = disk.path().join("ballast");
    fill(&ballast);
    let written = until_full(&mut client);
    assert!(written > 0, "there was no room at all");
    // What was not acknowledged is not there, and what was can be read and listed.
    let refused = client.get(&format!("/entity/db/k{written}")).status;
    assert_eq!(refused, 404, "{storage:?}");
    all_there(&mut client, written);
    assert_eq!(client.get("/api/databases").expect(200).json(), serde_json::json!(["db"]));
    let again = client.put("/entity/db/again", document(0));
    assert!(matches!(again.status, 503 | 507), "{again:?}");
    client.get("/health/live").expect(200);
    fs::remove_file(&ballast).unwrap();
    if needs_restart {
        let refused = client.put("/entity/db/again", document(0)).expect(503);
        assert!(refused.text().contains("restart"), "{refused:?}");
        assert!(server.stop().status.success());
        server = start.up();
        client = server.admin();
    }
    client.put("/entity/db/again", document(0)).expect(201);
    client.delete("/entity/db/before").expect(200);
    all_there(&mut client, written);
    drop(server.kill());
    let server = start.up();
    all_there(&mut server.admin(), written);
    assert_eq!(server.admin().get("/entity/db/again").expect(200).text(), document(0));
    assert!(server.stop().status.success());
}

#[test]
fn a_full_disk_refuses_writes_and_keeps_what_was_acknowledged_on_fs() {
    goes_on(Storage::Fs, false);
}

/// The log was cut in the middle of a write, so a restart has to look at it first.
#[test]
fn a_full_disk_refuses_writes_and_keeps_what_was_acknowledged_on_embedded() {
    goes_on(Storage::Embedded, true);
}
