//! What workers can meet besides an end: a wrong clock, a full disk, a long pause, and clients that hang up.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::net::Shutdown;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use delta_tests::cluster::{Worker, eventually};
use delta_tests::faults::attach::{Attached, cannot_trace};
use delta_tests::http::{Client, Response, connect};
use delta_tests::start::ADMIN_KEY;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Cluster, PATIENCE};
use crate::support::{problem, skipped};

/// How far the clocks of workers are off.
const OFF: Duration = Duration::from_secs(3_600);
/// Within what time a worker that says nothing is known to be gone.
const NOTICED_WITHIN: Duration = Duration::from_secs(2);
/// How long a worker stands still.
const LONG: Duration = Duration::from_secs(10);

/// Keys of which every worker has some.
fn keys() -> Vec<String> {
    (0..24).map(|n| format!("key-{n}")).collect()
}

fn put(cluster: &Cluster, key: &str, document: impl std::fmt::Display) -> Response {
    cluster.main.admin().put(&format!("/entity/db/{key}"), document.to_string())
}

fn get(cluster: &Cluster, key: &str) -> Response {
    cluster.main.admin().get(&format!("/entity/db/{key}"))
}

/// A library that tells a program another time; the error says what is missing.
fn faketime() -> Result<PathBuf, String> {
    let directories = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let libraries = directories.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    let found = libraries.into_iter().find(|library| library.exists());
    found.ok_or_else(|| "it needs libfaketime (Debian: apt-get install libfaketime)".to_owned())
}

/// When a write happened by its worker's clock, in seconds from this one's.
fn off(written: &Response) -> f64 {
    let updated = written.json()["updated_at"].as_str().unwrap().to_owned();
    let updated = OffsetDateTime::parse(&updated, &Rfc3339).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    updated.unix_timestamp_nanos() as f64 / 1e9 - now
}

#[test]
fn workers_whose_clocks_are_an_hour_off_write_in_order_and_serve_nothing_stale() {
    let library = match faketime() {
        Ok(library) => library,
        Err(why) => return skipped(&why),
    };
    let mut cluster = Cluster::with(0, &["--worker-ttl", "10s"]);
    let hire = |cluster: &mut Cluster, id: &str, sign: char| {
        let start = cluster.place.worker(id, cluster.main.grpc_address()).variable("LD_PRELOAD", &library);
        let start = start.variable("FAKETIME", format!("{sign}{}", OFF.as_secs()));
        let start = start.variable("FAKETIME_DONT_FAKE_MONOTONIC", "1").variable("NO_FAKE_STAT", "1");
        cluster.workers.push(Worker::up(&start, &cluster.main));
    };
    hire(&mut cluster, "ahead", '+');
    hire(&mut cluster, "behind", '-');
    let (mut offs, mut last) = (Vec::new(), BTreeMap::new());
    for round in 1..=6 {
        for key in keys() {
            let written = put(&cluster, &key, round);
            assert_eq!(written.json()["version"], round, "{written:?}");
            let updated = written.json()["updated_at"].as_str().unwrap().to_owned();
            let before = last.insert(key.clone(), updated.clone());
            assert!(before.as_ref().is_none_or(|before| *before < updated), "{key}: {before:?} and then {updated}");
            offs.push(off(&written));
            assert_eq!(get(&cluster, &key).expect(200).text(), round.to_string());
        }
        // Whoever is left has all of them, and the other one remembers them from before.
        let (id, sign) = if round % 2 == 0 { ("behind", '-') } else { ("ahead", '+') };
        cluster.workers.remove(0).kill();
        keys().iter().for_each(|key| assert_eq!(get(&cluster, key).expect(200).text(), round.to_string()));
        hire(&mut cluster, id, sign);
    }
    let (ahead, behind) = (OFF.as_secs_f64() * 0.9, OFF.as_secs_f64() * -0.9);
    assert!(offs.iter().any(|off| *off > ahead) && offs.iter().any(|off| *off < behind), "{offs:?}");
    eventually("both have renewed their tokens", PATIENCE, || {
        let printed = cluster.main.output();
        let renewed = |id: &str| printed.lines().any(|line| line.contains(id) && line.contains("renews=true"));
        renewed("worker=ahead") && renewed("worker=behind")
    });
}

#[test]
fn a_full_disk_of_one_worker_is_told_and_the_others_go_on() {
    if let Some(why) = cannot_trace() {
        return skipped(&why);
    }
    let cluster = Cluster::of(3);
    keys().iter().for_each(|key| _ = put(&cluster, key, 1).expect(201));
    let trace = cluster.place.store().with_extension("trace");
    let arguments = ["-e", "inject=fdatasync,syncfs:error=ENOSPC"].map(OsString::from);
    let full = Attached::to(cluster.workers[0].id(), &arguments, &trace).unwrap();
    let mut refused = Vec::new();
    for key in keys() {
        let answer = put(&cluster, &key, 2);
        if answer.status == 200 {
            continue;
        }
        let said = problem(&answer, 503, "storage_full");
        let detail = said["detail"].as_str().unwrap();
        assert!(detail.contains("No space left on device") && detail.contains("free some space"), "{detail}");
        refused.push(key);
    }
    let count = refused.len();
    assert!(count > 0 && count < keys().len(), "{count} of {} were refused", keys().len());
    let is = |key: &String| if refused.contains(key) { "1" } else { "2" };
    keys().iter().for_each(|key| assert_eq!(get(&cluster, key).expect(200).text(), is(key), "{key}"));
    cluster.main.anonymous().get("/health/ready").expect(200);
    full.detach();
    // There is room again, and nobody has to be restarted.
    keys().iter().for_each(|key| assert_eq!(get(&cluster, key).expect(200).text(), is(key), "{key}"));
    keys().iter().for_each(|key| _ = put(&cluster, key, 3).expect(200));
    keys().iter().for_each(|key| assert_eq!(get(&cluster, key).expect(200).text(), "3", "{key}"));
}

#[test]
fn a_worker_that_stands_still_is_known_to_be_gone_within_two_seconds_and_wakes_to_the_present() {
    let mut cluster = Cluster::of(2);
    let mut noticed = Vec::new();
    for round in 1..=3 {
        keys().iter().for_each(|key| assert!(put(&cluster, key, round).status < 300));
        cluster.workers[0].pause();
        let paused = Instant::now();
        cluster.until_listed("w1", "Unresponsive");
        noticed.push(paused.elapsed());
        keys().iter().for_each(|key| _ = put(&cluster, key, -round).expect(200));
        if round == 3 {
            // Not a wait for something: as long as it stands still.
            std::thread::sleep(LONG.saturating_sub(paused.elapsed()));
        }
        cluster.workers[0].wake();
        cluster.until_listed("w1", "Available");
        keys().iter().for_each(|key| assert_eq!(get(&cluster, key).expect(200).text(), format!("-{round}"), "{key}"));
    }
    println!("noticed after {noticed:?}");
    // A machine that is busy with something else may look later; not every time.
    assert!(noticed.iter().any(|after| *after < NOTICED_WITHIN), "{noticed:?}");
    // Alone now: what it has in memory is what clients could get.
    cluster.workers.remove(1).stop();
    keys().iter().for_each(|key| assert_eq!(get(&cluster, key).expect(200).text(), "-3", "{key}"));
}

#[test]
fn clients_that_hang_up_leave_writes_whole_or_absent_and_nothing_running() {
    let cluster = Cluster::with(2, &["--metrics-addr", "127.0.0.1:0"]);
    let [before, after] = ["a", "b"].map(|letter| format!("\"{}\"", letter.repeat(50_000)));
    for at in 0..40_usize {
        let key = format!("k{at}");
        put(&cluster, &key, &before).expect(201);
        let head = format!("PUT /entity/db/{key} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n");
        let request = format!("{head}Content-Length: {}\r\n\r\n{after}", after.len());
        let mut stream = connect(cluster.main.address()).unwrap();
        // The first ones hang up in the middle of the body, the others once all of it is sent.
        let sent = if at < 20 { request.len() * (at + 1) / 21 } else { request.len() };
        stream.write_all(&request.as_bytes()[..sent]).unwrap();
        drop(stream.shutdown(Shutdown::Both));
        drop(stream);
        let answer = get(&cluster, &key).expect(200);
        assert!(answer.text() == before || (answer.text() == after && at >= 20), "{at}: {answer:?}");
    }
    // Nobody waits for what a worker that stands still was asked, and then nobody has anything to do.
    cluster.workers[0].pause();
    for key in keys() {
        let mut stream = connect(cluster.main.address()).unwrap();
        let head = format!("GET /entity/db/{key} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
    }
    cluster.workers[0].wake();
    let active = || {
        let listed = cluster.main.admin().get("/admin/workers").expect(200).json();
        let of_each = listed.as_array().unwrap().iter().map(|worker| worker["active_requests"].as_u64().unwrap());
        of_each.sum::<u64>()
    };
    eventually("no worker has a task", PATIENCE, || active() == 0);
    eventually("the main serves nobody", PATIENCE, || {
        let page = Client::new(cluster.main.metrics_address()).get("/metrics").expect(200);
        page.text().lines().any(|line| line == "deltadb_requests_in_flight{interface=\"rest\"} 0")
    });
    for at in 0..40 {
        let answer = get(&cluster, &format!("k{at}")).expect(200);
        assert!(answer.text() == before || answer.text() == after, "{at}");
    }
}
