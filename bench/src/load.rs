//! The load generator: N keep-alive connections in a closed loop, on one thread.
//!
//! Each connection sends its next request when the answer to the one before is wholly there. Every status is checked: an
//! answer nobody wanted ends the run. Sockets block, and are read only when epoll says that something is there.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::request::Requests;
use crate::response::{self, Response};
use crate::stats;

/// How long a server may be silent while requests are open.
const SILENCE_SECS_MAX: i64 = 30;
/// Room for an answer; it grows where one is longer.
const BUFFER_BYTES: usize = 16 << 10;

/// How much load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) connections: usize,
    pub(crate) requests_max: u64,
    pub(crate) duration_max: Duration,
}

impl Plan {
    pub(crate) fn of_seconds(connections: usize, seconds: f64) -> Self {
        Self { connections, requests_max: u64::MAX, duration_max: Duration::from_secs_f64(seconds) }
    }

    pub(crate) fn of_requests(connections: usize, requests_max: u64) -> Self {
        Self { connections, requests_max, duration_max: Duration::from_secs(3600) }
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Requests that were sent, and answered.
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Outcome {
    /// From the latency of each request, in nanoseconds, which it sorts, and the time that all of them took.
    pub(crate) fn of(latencies: &mut [u32], elapsed: Duration) -> Self {
        let requests = latencies.len() as u64;
        let [p50, p99] = stats::percentiles(latencies, [50.0, 99.0]);
        Self { requests, per_second: requests as f64 / elapsed.as_secs_f64(), p50, p99 }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, per_second, p50, p99 } = self;
        write!(f, "{per_second:>9.0}/s  p50 {:>8.1} µs  p99 {:>8.1} µs", stats::micros(*p50), stats::micros(*p99))?;
        write!(f, "  ({requests} requests)")
    }
}

/// Runs a plan against a server that answers well with one of `statuses`.
pub(crate) fn run(addr: SocketAddr, requests: &mut Requests, statuses: &[u16], plan: Plan) -> Result<Outcome> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let open = |number| Connection::open(addr, &epoll, number);
    let mut connections = (0..plan.connections as u64).map(open).collect::<Result<Vec<_>>>()?;
    let mut latencies = Vec::with_capacity(1 << 20);
    let started = Instant::now();
    let deadline = started + plan.duration_max;
    let (mut sent, mut open) = (0, 0);
    for connection in connections.iter_mut().take(usize::try_from(plan.requests_max).unwrap_or(usize::MAX)) {
        connection.send(requests.next(), started)?;
        (sent, open) = (sent + 1, open + 1);
    }
    let mut events = Vec::with_capacity(plan.connections);
    while open > 0 {
        wait(&epoll, &mut events)?;
        for event in events.drain(..) {
            let number = usize::try_from(event.data.u64())?;
            let connection = connections.get_mut(number).context("epoll names no connection of ours")?;
            if !connection.receive(statuses)? {
                continue;
            }
            let now = Instant::now();
            latencies.push(u32::try_from((now - connection.sent).as_nanos()).unwrap_or(u32::MAX));
            if now < deadline && sent < plan.requests_max {
                connection.send(requests.next(), now)?;
                sent += 1;
            } else {
                open -= 1;
            }
        }
    }
    // The last answers too: leaving out those that come late would flatter a server that stalls.
    Ok(Outcome::of(&mut latencies, started.elapsed()))
}

fn wait(epoll: &impl rustix::fd::AsFd, events: &mut Vec<epoll::Event>) -> Result<()> {
    let silence = Timespec { tv_sec: SILENCE_SECS_MAX, tv_nsec: 0 };
    match epoll::wait(epoll, spare_capacity(events), Some(&silence)) {
        Ok(0) => bail!("the server has not answered for {SILENCE_SECS_MAX} s"),
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    sent: Instant,
}

impl Connection {
    fn open(addr: SocketAddr, epoll: &impl rustix::fd::AsFd, number: u64) -> Result<Self> {
        let stream = TcpStream::connect(addr).with_context(|| format!("cannot connect to {addr}"))?;
        stream.set_nodelay(true)?;
        epoll::add(epoll, &stream, epoll::EventData::new_u64(number), epoll::EventFlags::IN)?;
        Ok(Self { stream, buffer: vec![0; BUFFER_BYTES], filled: 0, sent: Instant::now() })
    }

    fn send(&mut self, request: &[u8], now: Instant) -> Result<()> {
        self.sent = now;
        self.stream.write_all(request).context("the server does not take a request")
    }

    /// Reads what is there; whether that completes the answer.
    fn receive(&mut self, statuses: &[u16]) -> Result<bool> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.filled * 2, 0);
        }
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let received = self.stream.read(room).context("the server cut a connection")?;
        ensure!(received > 0, "the server closed a connection");
        self.filled += received;
        let answer = self.buffer.get(..self.filled).unwrap_or_default();
        let Some(Response { status, body_at, bytes }) = response::parse(answer)? else { return Ok(false) };
        ensure!(bytes == self.filled, "the server sent more than one answer to one request");
        if !statuses.contains(&status) {
            let body = String::from_utf8_lossy(answer.get(body_at..).unwrap_or_default());
            bail!("an answer has status {status}: {}", body.chars().take(500).collect::<String>());
        }
        self.filled = 0;
        Ok(true)
    }
}
