//! What one process was told, every other knows.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use delta_tests::http::Request;
use delta_tests::server::Server;
use delta_tests::start::Start;
use serde_json::json;

use super::{alone, beside_others, two};
use crate::support::{ApiKey, api_key, directory, login, problem};

/// The one line on standard error of a start that is refused.
#[track_caller]
fn refusal(start: &Start) -> String {
    let finished = start.run();
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
    finished.stderr
}

#[test]
fn a_second_process_is_refused_and_told_the_flag_and_with_it_both_answer() {
    let directory = directory();
    let place = directory.path().join("db").display().to_string();
    let first = alone(&directory).up();
    let told = refusal(&alone(&directory));
    assert!(told.contains(&place) && told.contains("start all of them with --multi-main"), "{told}");
    let told = refusal(&beside_others(&directory));
    assert!(told.contains(&place) && told.contains("with --multi-main too"), "{told}");
    first.admin().put("/entity/db/k", "1").expect(201);
    first.kill();

    let [first, second] = [(); 2].map(|()| beside_others(&directory).up());
    assert!(refusal(&alone(&directory)).contains("--multi-main"));
    first.admin().put("/entity/db/k", "2").expect(200);
    assert_eq!(second.admin().get("/entity/db/k").expect(200).text(), "2");
    first.kill();
    second.admin().put("/entity/db/k", "3").expect(200);
    second.stop();
    assert_eq!(alone(&directory).up().admin().get("/entity/db/k").expect(200).text(), "3");
}

#[test]
fn a_read_is_not_older_than_the_last_acknowledged_write_of_either() {
    let (_directory, a, b) = two();
    let (mut a, mut b) = (a.admin(), b.admin());
    a.put("/entity/db/k", "\"first\"").expect(201);
    for round in 0..100 {
        let [here, there] = if round % 2 == 0 { [&mut a, &mut b] } else { [&mut b, &mut a] };
        let text = format!("{{\"round\":{round}}}");
        let tag = here.put("/entity/db/k", &text).expect(200).header("etag").unwrap().to_owned();
        let read = there.get("/entity/db/k").expect(200);
        assert_eq!((read.text(), read.header("etag")), (text.as_str(), Some(tag.as_str())));
        assert_eq!(here.get("/entity/db/k").expect(200).text(), text);
        // What the other has in its memory is no longer what a precondition is about.
        there.send(&Request::new("PUT", "/entity/db/k").header("If-Match", &tag).body(&text)).expect(200);
        let late = here.send(&Request::new("PUT", "/entity/db/k").header("If-Match", &tag).body(&text));
        problem(&late, 412, "precondition_failed");
        if round % 5 == 0 {
            there.delete("/entity/db/k").expect(200);
            problem(&here.get("/entity/db/k"), 404, "not_found");
            here.send(&Request::new("PUT", "/entity/db/k").header("If-None-Match", "*").body("7")).expect(201);
            assert_eq!(there.get("/entity/db/k").expect(200).text(), "7");
        }
    }
}

#[test]
fn readers_of_one_never_fall_behind_a_writer_of_the_other() {
    let (_directory, a, b) = two();
    a.admin().put("/entity/db/k", "0").expect(201);
    let (acknowledged, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for server in [&a, &b, &b] {
            let (mut client, acknowledged, done) = (server.admin(), &acknowledged, &done);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let at_least = acknowledged.load(Ordering::SeqCst);
                    let read: u64 = client.get("/entity/db/k").expect(200).text().parse().unwrap();
                    assert!(read >= at_least, "{read} was read after {at_least} was acknowledged");
                }
            });
        }
        let mut writers = [a.admin(), b.admin()];
        for number in 1..=300_usize {
            writers[number % 2].put("/entity/db/k", number.to_string()).expect(200);
            acknowledged.store(number as u64, Ordering::SeqCst);
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn what_is_read_is_as_old_as_the_flags_allow() {
    let directory = directory();
    let fresh = beside_others(&directory).arg("--list-max-stale=0").up();
    let stale = beside_others(&directory).args(&["--cache-max-stale=1h", "--list-max-stale=1h"]).up();
    let listed = |server: &Server| {
        let answer = server.admin().get("/api/databases/db/keys").expect(200).json();
        answer["items"].as_array().unwrap().len()
    };
    fresh.admin().put("/entity/db/a", "1").expect(201);
    assert_eq!((stale.admin().get("/entity/db/a").expect(200).text(), listed(&stale), listed(&fresh)), ("1", 1, 1));
    let tag = fresh.admin().put("/entity/db/a", "2").expect(200).header("etag").unwrap().to_owned();
    fresh.admin().put("/entity/db/b", "2").expect(201);
    assert_eq!((stale.admin().get("/entity/db/a").expect(200).text(), listed(&stale), listed(&fresh)), ("1", 1, 2));
    // A write is about what is there, and its own process sees it at once.
    stale.admin().send(&Request::new("PUT", "/entity/db/a").header("If-Match", &tag).body("3")).expect(200);
    stale.admin().put("/entity/db/c", "3").expect(201);
    assert_eq!((stale.admin().get("/entity/db/a").expect(200).text(), listed(&stale), listed(&fresh)), ("3", 2, 3));
}

/// Asks until the answer has this status; it may take others a second to know, and this machine a moment more.
#[track_caller]
fn soon(status: u16, mut ask: impl FnMut() -> u16) {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        match ask() {
            found if found == status => return,
            found => assert!(Instant::now() < until, "{found} for 30 seconds instead of {status}"),
        }
        thread::yield_now();
    }
}

#[test]
fn keys_sessions_settings_and_listings_of_one_are_soon_those_of_the_other() {
    let (_directory, a, b) = two();
    let ApiKey { id, secret } = api_key(&a, json!({"name": "k", "permissions": ["read", "write"]}));
    let mut holder = b.anonymous().bearer(&secret);
    soon(200, || holder.get("/api/me").status);
    let mut session = b.anonymous().bearer(&login(&a, &secret));
    session.get("/api/me").expect(200);
    a.admin().put("/entity/db/k", "1").expect(201);
    soon(1, || b.admin().get("/api/databases/db/keys").expect(200).json()["items"].as_array().unwrap().len() as u16);

    a.admin().put("/api/databases/db", r#"{"require_schema":true}"#).expect(200);
    soon(400, || holder.put("/entity/db/k", "1").status);
    a.admin().put("/schema/db", r#"{"type":"integer"}"#).expect(200);
    holder.put("/entity/db/k", "1").expect(200);
    problem(&holder.put("/entity/db/k", "\"1\""), 400, "schema_violation");

    a.admin().delete(&format!("/api/keys/{id}")).expect(200);
    soon(401, || holder.get("/api/me").status);
    problem(&session.get("/api/me"), 401, "unauthorized");
}

#[test]
fn a_drop_of_one_ends_in_the_other_when_the_first_is_killed() {
    let (_directory, a, b) = two();
    let mut admin = b.admin();
    for at in 0..20 {
        admin.put(&format!("/entity/db/k{at}"), "1").expect(201);
    }
    a.admin().delete("/api/databases/db").expect(202);
    a.kill();
    soon(404, || admin.get("/api/databases/db").status);
    problem(&admin.get("/entity/db/k0"), 404, "not_found");
    admin.put("/entity/db/k0", "2").expect(201);
}
