//! Ten processes count on one directory, and nothing is lost and nothing counted twice.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use delta_tests::http::{Client, Request, Response};
use delta_tests::random::Random;
use delta_tests::server::Server;
use tempfile::TempDir;

use super::beside_others;
use crate::support::directory;

const PROCESSES: usize = 10;
const COUNTERS: u64 = 10;
/// How many increments in all; `DELTA_TESTS_INCREMENTS` names another number.
const INCREMENTS: u64 = 2_000;

fn increments() -> u64 {
    std::env::var("DELTA_TESTS_INCREMENTS").map_or(INCREMENTS, |given| given.parse().unwrap())
}

fn processes() -> (TempDir, Vec<Server>) {
    let directory = directory();
    // All at once: one of them makes the store. They log little, because here they are to be fast.
    let start = beside_others(&directory).variable("RUST_LOG", "warn");
    let servers = thread::scope(|scope| {
        let starting: Vec<_> = (0..PROCESSES).map(|_| scope.spawn(|| start.up())).collect();
        starting.into_iter().map(|server| server.join().unwrap()).collect()
    });
    (directory, servers)
}

/// Each client works through a process of its own until so many increments were acknowledged in all.
fn count<T: Send>(servers: &[Server], work: impl Fn(usize, &mut Client, &AtomicU64) -> T + Sync) -> Vec<T> {
    let begun = Instant::now();
    let left = AtomicU64::new(increments());
    let done = thread::scope(|scope| {
        let clients = servers.iter().enumerate().map(|(at, server)| {
            let (left, work) = (&left, &work);
            scope.spawn(move || work(at, &mut server.admin(), left))
        });
        clients.collect::<Vec<_>>().into_iter().map(|client| client.join().unwrap()).collect()
    });
    println!("{} increments through {} processes in {:?}", increments(), servers.len(), begun.elapsed());
    done
}

/// Takes one of the increments that are left.
fn take(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn tag(answer: &Response) -> &str {
    answer.header("etag").unwrap()
}

/// Whether a conditional write happened; any other answer than yes and no fails the test.
fn happened(answer: &Response) -> bool {
    assert!(matches!(answer.status, 200 | 201 | 412), "{answer:?}");
    answer.status != 412
}

/// Writes one more than was read, if nobody else did in between.
fn increment(client: &mut Client, path: &str, read: &Response) -> Option<u64> {
    let next = read.text().parse::<u64>().unwrap() + 1;
    let request = Request::new("PUT", path).header("If-Match", tag(read)).body(next.to_string());
    let written = client.send(&request);
    happened(&written).then(|| written.json()["version"].as_u64().unwrap())
}

#[test]
fn increments_of_one_entity_through_ten_processes_are_all_there() {
    let (_directory, servers) = processes();
    let path = "/entity/db/counter";
    servers[0].admin().put(path, "0").expect(201);
    let taken = count(&servers, |_, client, left| {
        let mut versions = Vec::new();
        while take(left) {
            versions.push(loop {
                let read = client.get(path).expect(200);
                if let Some(version) = increment(client, path, &read) {
                    break version;
                }
            });
        }
        versions
    });
    for server in &servers {
        assert_eq!(server.admin().get(path).expect(200).text(), increments().to_string());
    }
    let versions: BTreeSet<u64> = taken.into_iter().flatten().collect();
    assert_eq!(versions, (2..=increments() + 1).collect());
}

#[test]
fn increments_between_deletes_and_recreations_are_all_there() {
    let (_directory, servers) = processes();
    let deleted = count(&servers, |at, client, left| {
        let mut random = Random::new(at as u64);
        let mut deleted = 0;
        while take(left) {
            loop {
                let path = format!("/entity/db/c{}", random.below(COUNTERS));
                let read = client.get(&path);
                if read.status == 404 {
                    let created = client.send(&Request::new("PUT", &path).header("If-None-Match", "*").body("1"));
                    if happened(&created) {
                        break;
                    }
                } else if random.below(8) == 0 {
                    let removal = Request::new("DELETE", &path).header("If-Match", tag(&read));
                    if happened(&client.send(&removal)) {
                        deleted += read.text().parse::<u64>().unwrap();
                    }
                } else if increment(client, &path, &read).is_some() {
                    break;
                }
            }
        }
        deleted
    });
    let kept = |server: &Server| -> u64 {
        let mut admin = server.admin();
        let counters = (0..COUNTERS).map(|counter| admin.get(&format!("/entity/db/c{counter}")));
        let living: Vec<_> = counters.filter(|read| read.status != 404).collect();
        living.into_iter().map(|read| read.expect(200).text().parse::<u64>().unwrap()).sum()
    };
    let deleted: u64 = deleted.into_iter().sum();
    assert!(deleted > 0);
    for server in &servers {
        assert_eq!(kept(server) + deleted, increments());
    }
}
