//! Many clients at once, and clients and servers that go away in the middle.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::thread;

use delta_tests::http::connect;
use delta_tests::start::ADMIN_KEY;
use serde_json::json;

use crate::support::{directory, serve, server};

const CLIENTS: u64 = 16;
const WRITES: u64 = 25;

#[test]
fn sixteen_clients_on_one_entity_take_every_version_exactly_once() {
    let (_directory, server) = server();
    let answers = thread::scope(|scope| {
        let clients = (0..CLIENTS).map(|client| {
            let mut admin = server.admin();
            scope.spawn(move || {
                let write = |at| {
                    let document = format!("{{\"client\":{client},\"at\":{at}}}");
                    let answer = admin.put("/entity/db/k", &document);
                    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
                    (answer.json()["version"].as_u64().unwrap(), answer.header("etag").unwrap().to_owned(), document)
                };
                (0..WRITES).map(write).collect::<Vec<_>>()
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    let versions: BTreeSet<u64> = answers.iter().map(|(version, ..)| *version).collect();
    assert_eq!(versions, (1..=CLIENTS * WRITES).collect());
    let tags: BTreeSet<&String> = answers.iter().map(|(_, tag, _)| tag).collect();
    assert_eq!(tags.len(), answers.len());
    // What is stored is what the client of the last version wrote, and no other.
    let (_, tag, document) = answers.iter().max_by_key(|(version, ..)| *version).unwrap();
    let stored = server.admin().get("/entity/db/k").expect(200);
    assert_eq!((stored.text(), stored.header("etag")), (document.as_str(), Some(tag.as_str())));
}

#[test]
fn maps_that_overlap_are_each_written_whole() {
    let (_directory, server) = server();
    thread::scope(|scope| {
        for client in 0..8 {
            let mut admin = server.admin();
            scope.spawn(move || {
                for at in 0..20 {
                    let text = format!("{{\"by\":\"{client}-{at}\"}}");
                    // The same keys in another order for every other client: nobody waits for each other in a circle.
                    let keys = if client % 2 == 0 { ["a", "b", "c"] } else { ["c", "b", "a"] };
                    let members: Vec<_> = keys.iter().map(|key| format!("\"{key}\":{text}")).collect();
                    admin.put("/entity/db", format!("{{{}}}", members.join(","))).expect(200);
                }
            });
        }
    });
    let mut client = server.admin();
    let stored = ["a", "b", "c"].map(|key| client.get(&format!("/entity/db/{key}")).expect(200));
    let texts: BTreeSet<&str> = stored.iter().map(|answer| answer.text()).collect();
    assert_eq!(texts.len(), 1, "{stored:?}");
    assert!(stored.iter().all(|answer| answer.header("etag").unwrap().starts_with("\"160-")), "{stored:?}");
}

#[test]
fn a_client_that_hangs_up_leaves_its_write_whole_or_absent() {
    let (_directory, server) = server();
    let before = format!("\"{}\"", "a".repeat(50_000));
    let after = format!("\"{}\"", "b".repeat(50_000));
    let mut seen = BTreeMap::new();
    for at in 0..40_usize {
        let key = format!("/entity/db/k{at}");
        server.admin().put(&key, &before).expect(201);
        let head = format!(
            "PUT {key} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\nContent-Length: {}\r\n\r\n",
            after.len()
        );
        let request = [head.as_bytes(), after.as_bytes()].concat();
        let mut stream = connect(server.address()).unwrap();
        // The first ones hang up in the middle of the body, the others once all of it is sent.
        let sent = if at < 20 { request.len() * (at + 1) / 21 } else { request.len() };
        stream.write_all(&request[..sent]).unwrap();
        drop(stream.shutdown(Shutdown::Both));
        drop(stream);
        // The next write to the key comes after whatever that one did.
        let answer = server.admin().get(&key).expect(200);
        assert!(answer.text() == before || (answer.text() == after && at >= 20), "{at}: {answer:?}");
        let next = server.admin().put(&key, &before).expect(200).json()["version"].as_u64().unwrap();
        assert!(next == 2 || (next == 3 && at >= 20), "{at}: version {next}");
        *seen.entry(next).or_insert(0) += 1;
    }
    println!("next versions: {seen:?}");
}

#[test]
fn a_stop_finishes_what_is_in_flight_and_exits_0() {
    let directory = directory();
    let server = serve(&directory).up();
    let mut acknowledged = thread::scope(|scope| {
        let writers = (0..8).map(|writer| {
            let mut admin = server.admin();
            scope.spawn(move || {
                let put = |at: usize| {
                    let (key, document) = (format!("/entity/db/{writer}-{at}"), format!("[{writer},{at}]"));
                    let answer = admin.try_send(&delta_tests::http::Request::new("PUT", &key).body(&document));
                    answer.ok().map(|answer| (key, document, answer.expect(201).status))
                };
                (0..).map_while(put).collect::<Vec<_>>()
            })
        });
        let writers: Vec<_> = writers.collect();
        while server.admin().get("/entity/db/7-20").status != 200 {}
        server.terminate();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    let ended = server.ended();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    let server = serve(&directory).up();
    let mut client = server.admin();
    for (key, document, _) in acknowledged.drain(..) {
        assert_eq!(client.get(&key).expect(200).text(), document);
    }
}

#[test]
fn a_stop_waits_for_a_body_that_still_comes() {
    let directory = directory();
    let server = serve(&directory).up();
    let head = format!(
        "PUT /entity/db/k HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\nContent-Length: 6\r\n\
         Expect: 100-continue\r\n\r\n"
    );
    let mut stream = BufReader::new(connect(server.address()).unwrap());
    stream.get_mut().write_all(head.as_bytes()).unwrap();
    // The server says that it reads the body: from here on the request is in flight.
    let mut interim = String::new();
    while !interim.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut interim).unwrap(), 0, "{interim}");
    }
    assert!(interim.starts_with("HTTP/1.1 100 Continue"), "{interim}");
    stream.get_mut().write_all(b"[1,").unwrap();
    server.terminate();
    while connect(server.address()).is_ok() {}
    stream.get_mut().write_all(b"2 ]").unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    let ended = server.ended();
    assert!(read.is_ok() && answer.starts_with("HTTP/1.1 201"), "{read:?} {answer} {ended:?}");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(serve(&directory).up().admin().get("/entity/db/k").expect(200).text(), "[1,2 ]");
}

#[test]
fn a_stop_counts_from_the_moment_that_the_server_says_where_it_is() {
    let directory = directory();
    for _ in 0..20 {
        let ended = serve(&directory).up().stop();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    }
}

#[test]
fn what_was_answered_survives_kill_9_and_every_kind_of_write_with_it() {
    let directory = directory();
    let server = serve(&directory).up();
    let mut client = server.admin();
    client.put("/schema/db", "{\"type\":\"object\"}").expect(200);
    client.put("/entity/db", "{\"a\":{},\"b\":{\"n\" : 1}}").expect(200);
    client.put("/entity/db/b", "{\"n\" : 2}").expect(200);
    client.delete("/entity/db?key=a").expect(200);
    let before = client.get("/entity/db/b").expect(200);
    server.kill();
    let server = serve(&directory).up();
    let mut client = server.admin();
    let after = client.get("/entity/db/b").expect(200);
    assert_eq!((after.text(), &after.headers[..3]), ("{\"n\" : 2}", &before.headers[..3]));
    client.get("/entity/db/a").expect(404);
    assert_eq!(client.get("/schema/db").expect(200).text(), "{\"type\":\"object\"}");
    assert_eq!(client.put("/entity/db", "{\"b\":{}}").expect(200).json()["versions"], json!({"b": 3}));
}
