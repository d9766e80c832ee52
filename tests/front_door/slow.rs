//! Clients that are slow, or do nothing: what they cost.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use delta_tests::http::{Client, Request, connect};
use delta_tests::start::ADMIN_KEY;

use crate::support::{directory, may_open, serve, skipped};

use super::{read_to_end, statuses};

/// How many connections of each kind are slow.
const SLOW: usize = 500;
/// How often each of them sends a byte.
const DRIP: Duration = Duration::from_millis(500);
/// When all of them must be gone.
const GONE: Duration = Duration::from_secs(15);
/// What a normal client may wait meanwhile, but for one answer in a hundred.
const P99: Duration = Duration::from_millis(100);
/// How many connections do nothing, and what they may cost in KiB.
const IDLE: usize = 5_000;
const IDLE_KIB_MAX: u64 = 100_000_000 / 1024;

/// A connection that sends its bytes one by one.
struct Slow {
    stream: TcpStream,
    answer: Vec<u8>,
    closed: Option<Duration>,
}

impl Slow {
    fn new(address: SocketAddr, start: &str) -> Self {
        let mut stream = connect(address).unwrap();
        stream.write_all(start.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream, answer: Vec::new(), closed: None }
    }

    /// Sends a byte, and notes when the server has had enough.
    fn drip(&mut self, began: Instant) {
        let sent = self.stream.write(b"a");
        let mut buffer = [0; 1024];
        let read = self.stream.read(&mut buffer);
        let would_block =
            |result: &io::Result<usize>| result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        match read {
            Ok(count @ 1..) => self.answer.extend(&buffer[..count]),
            read if !would_block(&read) || (sent.is_err() && !would_block(&sent)) => {
                self.closed = Some(began.elapsed())
            }
            _ => {}
        }
    }
}

/// The p99 of a client's requests until it is told to stop, but at least a thousand of them.
fn p99(client: &mut Client, stop: &AtomicBool) -> Duration {
    let mut took = Vec::new();
    while took.len() < 1_000 || !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        client.get("/entity/db/k").expect(200);
        took.push(started.elapsed());
        thread::sleep(Duration::from_millis(2));
    }
    took.sort();
    took[took.len() * 99 / 100]
}

#[test]
fn slow_headers_and_slow_bodies_are_cut_and_nobody_else_notices() {
    if !may_open(4_096) {
        return skipped("this process may not open 4096 files; raise `ulimit -Hn`");
    }
    let directory = directory();
    let server = serve(&directory).arg("--connections-per-address-max=5000").up();
    let mut client = server.admin();
    client.put("/entity/db/k", "1").expect(201);
    let quiet = p99(&mut client, &AtomicBool::new(true));
    let (address, over) = (server.address(), AtomicBool::new(false));
    let (noisy, slow) = thread::scope(|scope| {
        let normal = scope.spawn(|| p99(&mut client, &over));
        let header = "GET /health HTTP/1.1\r\nHost: a\r\nX: ";
        let body = format!(
            "PUT /entity/db/k HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN_KEY}\r\nContent-Length: 1000\r\n\r\n"
        );
        let starts = [header, &body].into_iter().cycle().take(2 * SLOW);
        let mut slow: Vec<(Instant, Slow)> = starts.map(|start| (Instant::now(), Slow::new(address, start))).collect();
        while slow.iter().any(|(began, slow)| slow.closed.is_none() && began.elapsed() < 2 * GONE) {
            let open = slow.iter_mut().filter(|(_, slow)| slow.closed.is_none());
            open.for_each(|(began, slow)| slow.drip(*began));
            thread::sleep(DRIP);
        }
        over.store(true, Ordering::Relaxed);
        (normal.join().unwrap(), slow)
    });
    let last = slow.iter().map(|(_, slow)| slow.closed.unwrap_or(Duration::MAX)).max().unwrap();
    println!("{} slow connections: the last was closed after {last:?}; p99 {noisy:?}, {quiet:?} without", slow.len());
    assert!(last < GONE, "{last:?}");
    // A machine that is busy with something else is slow without us, too.
    assert!(noisy < P99.max(quiet * 10), "{noisy:?}, {quiet:?} without them");
    for (_, slow) in slow.iter().skip(1).step_by(2) {
        assert!(slow.answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&slow.answer));
    }
}

/// The memory of a process, in KiB.
fn resident_kib(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn five_thousand_idle_connections_cost_less_than_a_hundred_megabytes() {
    if !may_open(IDLE as u64 + 1_000) {
        return skipped("this process may not open 6000 files; raise `ulimit -Hn`");
    }
    let directory = directory();
    let server = serve(&directory).arg("--connections-per-address-max=10000").up();
    server.admin().put("/entity/db/k", "1").expect(201);
    let before = resident_kib(server.id());
    let mut idle: Vec<Client> = (0..IDLE).map(|_| server.anonymous()).collect();
    for client in &mut idle {
        client.get("/health/live").expect(200);
    }
    let cost = || resident_kib(server.id()).saturating_sub(before);
    println!("{IDLE} connections that have just been answered cost {} KiB", cost());
    // Buffers are given up by those that have been idle for a moment.
    let until = Instant::now() + Duration::from_secs(10);
    while cost() >= IDLE_KIB_MAX {
        assert!(Instant::now() < until, "{} KiB", cost());
        thread::sleep(DRIP);
    }
    println!("{IDLE} idle connections cost {} KiB, {before} KiB without", cost());
    // They are all still there.
    for client in idle.iter_mut().step_by(500) {
        client.get("/health/live").expect(200);
    }
}

#[test]
fn a_body_that_drips_is_answered_408_and_writes_nothing() {
    let directory = directory();
    let server = serve(&directory).args(&["--body-deadline=500ms", "--request-deadline=1h"]).up();
    let mut stream = connect(server.address()).unwrap();
    let head = format!("PUT /entity/db/k HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN_KEY}\r\n");
    stream.write_all(format!("{head}Content-Length: 2\r\n\r\n7").as_bytes()).unwrap();
    let answer = read_to_end(&mut stream);
    assert_eq!(statuses(&answer), [408], "{answer}");
    for part in ["connection: close", "application/problem+json", "request_timeout", "body_deadline"] {
        assert!(answer.contains(part), "{answer}");
    }
    server.admin().get("/entity/db/k").expect(404);
}

#[test]
fn a_large_body_over_a_slow_line_has_the_time_of_the_request() {
    let directory = directory();
    let server = serve(&directory).arg("--body-deadline=500ms").up();
    let mut stream = connect(server.address()).unwrap();
    let body = format!("\"{}\"", "x".repeat(1_000_000));
    let head = format!("PUT /entity/db/k HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN_KEY}\r\n");
    stream.write_all(format!("{head}Connection: close\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes()).unwrap();
    for piece in body.as_bytes().chunks(100_000) {
        thread::sleep(Duration::from_millis(250));
        stream.write_all(piece).unwrap();
    }
    let answer = read_to_end(&mut stream);
    assert_eq!(statuses(&answer), [201], "{answer}");
}

#[test]
fn each_deadline_can_be_set() {
    let directory = directory();
    let start = serve(&directory).args(&["--header-deadline=500ms", "--idle-deadline=500ms"]);
    let server = start.args(&["--request-deadline=1500ms", "--body-deadline=1h"]).up();
    // No request, half a request, and nothing after one: all are closed in silence.
    for (sent, answered) in [("", 0), ("GET /health HTTP/1.1\r\n", 0), ("GET /health HTTP/1.1\r\nHost: a\r\n\r\n", 1)] {
        let mut stream = connect(server.address()).unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        assert_eq!(statuses(&read_to_end(&mut stream)).len(), answered, "{sent:?}");
    }
    let mut stream = connect(server.address()).unwrap();
    let head = format!("PUT /entity/db/k HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN_KEY}\r\n");
    stream.write_all(format!("{head}Content-Length: 2\r\n\r\n7").as_bytes()).unwrap();
    assert_eq!(statuses(&read_to_end(&mut stream)), [408]);
    server.anonymous().send(&Request::new("GET", "/health")).expect(200);
}
