//! How many may come in, and what happens when the process can let in no more.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use delta_tests::http::{Client, connect};
use delta_tests::server::Server;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::{directory, serve, server};

/// A connection that has been let in: it was answered.
#[track_caller]
fn let_in(server: &Server) -> TcpStream {
    let mut stream = connect(server.address()).unwrap();
    assert!(is_answered(&mut stream), "turned away");
    stream
}

fn is_answered(stream: &mut TcpStream) -> bool {
    let written = stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n");
    written.is_ok() && matches!(stream.read(&mut [0; 4096]), Ok(1..))
}

/// Whether a new connection is closed without an answer.
fn is_turned_away(server: &Server) -> bool {
    !is_answered(&mut connect(server.address()).unwrap())
}

/// Waits until somebody is let in again.
#[track_caller]
fn wait_for_room(server: &Server) {
    let until = Instant::now() + Duration::from_secs(30);
    while is_turned_away(server) {
        assert!(Instant::now() < until, "there is no room again");
    }
}

#[test]
fn there_are_so_many_connections_of_one_address_and_no_more() {
    let directory = directory();
    let server = serve(&directory).arg("--connections-per-address-max=5").up();
    let mut inside: Vec<TcpStream> = (0..5).map(|_| let_in(&server)).collect();
    assert!(is_turned_away(&server));
    assert!(is_answered(&mut inside[4]));
    drop(inside.pop());
    wait_for_room(&server);
    let line = "its address has 5 already (connections_per_address_max; raise it where a proxy is in front)";
    assert!(server.output().contains(line), "{}", server.output());
}

#[test]
fn there_are_so_many_connections_in_all_and_no_more() {
    let directory = directory();
    let server = serve(&directory).arg("--connections-max=5").up();
    let inside: Vec<TcpStream> = (0..5).map(|_| let_in(&server)).collect();
    assert!(is_turned_away(&server));
    drop(inside);
    wait_for_room(&server);
    let ended = server.stop();
    let line = "there are 5 already (connections_max, and the process's limit of open files)";
    assert!(ended.output.contains(line), "{ended:?}");
}

/// CPU time that a process has used, in hundredths of a second.
fn cpu_ticks(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn without_file_descriptors_the_server_waits_and_serves_those_inside() {
    let (_directory, server) = server();
    let mut inside: Client = server.admin();
    inside.put("/entity/db/k", "1").expect(201);
    let process = Pid::from_raw(i32::try_from(server.id()).unwrap());
    let none = Rlimit { current: Some(0), maximum: Some(1 << 12) };
    let before = prlimit(process, Resource::Nofile, none).unwrap();
    let mut outside: Vec<TcpStream> = (0..10).map(|_| connect(server.address()).unwrap()).collect();
    for stream in &mut outside {
        stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    inside.get("/entity/db/k").expect(200);
    // It does not spin: this is what one second costs.
    let started = cpu_ticks(server.id());
    thread::sleep(Duration::from_secs(1));
    let used = cpu_ticks(server.id()) - started;
    assert!(used < 50, "{used} hundredths of a second");
    inside.get("/entity/db/k").expect(200);
    prlimit(process, Resource::Nofile, Rlimit { maximum: Some(1 << 12), current: before.current.min(Some(1 << 12)) })
        .unwrap();
    for stream in &mut outside {
        assert!(matches!(stream.read(&mut [0; 4096]), Ok(1..)), "a client that waited is served");
    }
    inside.put("/entity/db/k", "2").expect(200);
    let ended = server.stop();
    assert!(ended.output.contains("cannot accept a connection"), "{ended:?}");
    assert!(ended.output.matches("cannot accept a connection").count() < 5, "{ended:?}");
}
