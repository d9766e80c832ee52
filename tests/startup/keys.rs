//! What is wrong with the keys: what is missing is named, what was given is never repeated.

use std::time::{Duration, Instant};

use delta_tests::server::Server;
use delta_tests::start::{MASTER_KEY, Start};
use tempfile::TempDir;

use crate::support::{dev, has, serve, skipped};

use super::{fails, failure};

/// The key that the stores here do not have.
const OTHER_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// `serve` over a store that exists.
fn existing(directory: &TempDir) -> Start {
    serve(directory).up().stop();
    serve(directory)
}

/// A file in the test's directory.
fn file(directory: &TempDir, name: &str, text: &str) -> std::path::PathBuf {
    use std::os::unix::fs::OpenOptionsExt;
    let path = directory.path().join(name);
    let options = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    std::io::Write::write_all(&mut options.unwrap(), text.as_bytes()).unwrap();
    path
}

fails! {
    a_wrong_master_key_is_told: |directory| existing(directory).variable("MASTER_KEY", OTHER_KEY)
        => "error: the given master key is not main-key-v1 of this store; give that one, or to replace it give the new key and also --previous-key main-key-v1=HEX";
    a_missing_master_key_is_named: |directory| existing(directory).without("MASTER_KEY")
        => "error: this store needs its master key main-key-v1; give it with --master-key-file FILE or MASTER_KEY=HEX";
    a_missing_earlier_key_is_named: |directory| {
        existing(directory).variable("MASTER_KEY", OTHER_KEY).arg("--previous-key").arg(format!("main-key-v1={MASTER_KEY}")).up().stop();
        serve(directory).variable("MASTER_KEY", OTHER_KEY)
    } => "error: this store still holds data under its earlier master key main-key-v1; give --previous-key main-key-v1=HEX too";
    a_new_store_needs_a_key_without_a_terminal: |directory| serve(directory).without("MASTER_KEY")
        => "error: a new store needs a master key; give --master-key-file FILE, which makes one, or MASTER_KEY=HEX";
    a_server_needs_an_admin_key: |directory| serve(directory).without("ADMIN_KEY")
        => "error: there is no admin key; give ADMIN_KEY or --admin-key-file FILE, or try things out with --dev";
    an_admin_key_of_spaces_is_refused: |directory| serve(directory).variable("ADMIN_KEY", "  ")
        => "error: the admin key is empty; give one with ADMIN_KEY or --admin-key-file";
    a_master_key_that_is_no_hex_is_refused: |directory| serve(directory).variable("MASTER_KEY", &MASTER_KEY[1..])
        => "error: master key main-key-v1 must be 64 hex digits (32 bytes); `openssl rand -hex 32` makes one";
    an_earlier_key_without_an_id_is_refused: |directory| serve(directory).arg("--previous-key").arg(OTHER_KEY)
        => "error: --previous-key must be ID=HEX: a key id, and the key as 64 hex digits";
    an_earlier_key_that_is_no_hex_is_refused: |directory| serve(directory).arg("--previous-key").arg(format!("old={}", &OTHER_KEY[1..]))
        => "error: --previous-key must be ID=HEX: a key id, and the key as 64 hex digits";
    an_earlier_key_with_a_bad_id_is_refused: |directory| serve(directory).arg("--previous-key").arg(format!(".old={OTHER_KEY}"))
        => "error: --previous-key must be ID=HEX: a key id, and the key as 64 hex digits";
    an_admin_key_file_that_is_not_there_is_named: |directory| {
        serve(directory).without("ADMIN_KEY").arg("--admin-key-file").arg(directory.path().join("admin.key"))
    } => "error: cannot read the admin key file DIR/admin.key; check its path and mode: No such file or directory (os error 2)";
    an_empty_admin_key_file_is_named: |directory| {
        serve(directory).without("ADMIN_KEY").arg("--admin-key-file").arg(file(directory, "admin.key", "\n"))
    } => "error: the first line of the admin key file DIR/admin.key is empty; put the key there";
    a_master_key_file_that_was_lost_is_named: |directory| {
        existing(directory).without("MASTER_KEY").arg("--master-key-file").arg(directory.path().join("master.key"))
    } => "error: the master key file DIR/master.key does not exist, and this store cannot be opened without its key; restore the file";
    a_master_key_file_with_nonsense_is_named: |directory| {
        serve(directory).without("MASTER_KEY").arg("--master-key-file").arg(file(directory, "master.key", "nonsense\n"))
    } => "error: DIR/master.key, line 1: a key is 64 hex digits, or KEY_ID=64 hex digits; `openssl rand -hex 32` makes one";
    a_development_store_without_its_key_file_is_refused: |directory| {
        dev(directory).up().stop();
        std::fs::remove_file(crate::support::data(directory).join("dev-master.key")).unwrap();
        dev(directory)
    } => "error: the master key file DIR/data/dev-master.key does not exist, and this store cannot be opened without its key; restore the file";
}

#[test]
fn no_refusal_repeats_a_key() {
    let directory = crate::support::directory();
    let good = existing(&directory);
    for bad in [&MASTER_KEY[1..], &format!("{MASTER_KEY}0"), &MASTER_KEY.replace('8', "g"), OTHER_KEY] {
        for start in [
            good.clone().variable("MASTER_KEY", bad),
            good.clone().without("MASTER_KEY").arg(format!("--master-key={bad}")),
            good.clone().arg("--previous-key").arg(bad),
            good.clone().arg("--previous-key").arg(format!("{bad}=old")),
            good.clone().without("MASTER_KEY").arg("--master-key-file").arg(file(&directory, "bad.key", bad)),
        ] {
            let finished = start.run();
            let printed = finished.stderr + &finished.stdout;
            assert_eq!(finished.code, Some(1), "{printed}");
            assert!(!printed.contains(&bad[8..40]), "{printed}");
        }
    }
    // Nothing of all that changed the store.
    good.up().admin().get("/api/databases").expect(200);
}

#[test]
fn a_refused_start_leaves_no_store_behind() {
    let directory = crate::support::directory();
    failure(&serve(&directory).without("MASTER_KEY"), &directory);
    failure(&serve(&directory).without("ADMIN_KEY"), &directory);
    // A store that exists would need the key that the first start that succeeds gives it.
    serve(&directory).variable("MASTER_KEY", OTHER_KEY).up();
}

/// Starts a server as soon as the one before has let go of the store.
fn up_in_turn(start: &Start) -> Server {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        match start.try_up() {
            Ok(server) => return server,
            Err(ended) => assert!(ended.output.contains("open; stop it") && Instant::now() < until, "{ended:?}"),
        }
    }
}

#[test]
fn a_new_store_shows_its_key_once_to_a_terminal() {
    if !has("script") {
        return skipped("this needs script (util-linux) for a terminal");
    }
    let directory = crate::support::directory();
    // Without a shell in between, what ends `script` in order ends the server, too.
    let command = format!("exec {} serve", serve(&directory).program().display());
    let line = ["--quiet", "--return", "--command", &command, "/dev/null"];
    let on_a_terminal = serve(&directory).line("script", &line);
    let printed = |start: &Start| {
        let server = up_in_turn(start);
        server.admin().put("/entity/db/k", "1");
        server.stop().output
    };
    let first = printed(&on_a_terminal.clone().without("MASTER_KEY"));
    let shown = first.lines().find_map(|line| line.strip_prefix("New master key main-key-v1: "));
    let key = shown.unwrap_or_else(|| panic!("{first}")).trim();
    assert!(key.len() == 64 && first.matches(key).count() == 1, "{first}");
    let again = printed(&on_a_terminal.variable("MASTER_KEY", key));
    assert!(!again.contains(key) && !again.contains("New master key"), "{again}");
    let server = up_in_turn(&serve(&directory).variable("MASTER_KEY", key));
    assert_eq!(server.admin().get("/entity/db/k").expect(200).text(), "1");
}
