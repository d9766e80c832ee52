//! One watchdog for all connections: it knows what each is doing, and cuts those that take too long.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval, sleep};

/// How long a client may take to send the header of a request it has begun.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// How long a connection may wait for its next request, or for its client to read an answer.
const IDLE_DEADLINE: Duration = Duration::from_secs(75);
/// How often connections are looked at: deadlines are kept to this.
const TICK: Duration = Duration::from_millis(500);
/// How often connections are looked at while the server stops.
const DRAIN_TICK: Duration = Duration::from_millis(5);

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It waits for a request.
    Idle,
    /// It reads the header of one.
    Header,
    /// The request is being served.
    Request,
    /// The answer is being written.
    Response,
}

/// What a connection is doing, and since which tick: two bits and thirty.
#[derive(Debug)]
pub(crate) struct Activity {
    state: AtomicU32,
    ticks: Arc<AtomicU32>,
}

impl Activity {
    fn enter(&self, phase: Phase) {
        let now = self.ticks.load(Ordering::Relaxed) << 2;
        self.state.store(now | phase as u32, Ordering::Release);
    }

    fn phase(&self) -> Phase {
        match self.state.load(Ordering::Acquire) & 3 {
            0 => Phase::Idle,
            1 => Phase::Header,
            2 => Phase::Request,
            _ => Phase::Response,
        }
    }

    /// The header of a request has been read.
    pub(crate) fn request(&self) {
        self.enter(Phase::Request);
    }

    /// The answer to a request is known.
    pub(crate) fn response(&self) {
        self.enter(Phase::Response);
    }

    fn received(&self) {
        if self.phase() == Phase::Idle {
            self.enter(Phase::Header);
        }
    }

    fn sent(&self) {
        if self.phase() == Phase::Response {
            self.enter(Phase::Idle);
        }
    }

    fn is_late(&self, now: u32) -> bool {
        let deadline = match self.phase() {
            Phase::Request => return false,
            Phase::Header => HEADER_DEADLINE,
            Phase::Idle | Phase::Response => IDLE_DEADLINE,
        };
        let since = self.state.load(Ordering::Acquire) >> 2;
        TICK * (now & (u32::MAX >> 2)).wrapping_sub(since) > deadline
    }
}

type Connections = HashMap<u64, (Arc<Activity>, AbortHandle)>;

/// The connections of one listener.
#[derive(Debug)]
pub(crate) struct Watchdog {
    connections: Arc<Mutex<Connections>>,
    ticks: Arc<AtomicU32>,
    next: AtomicU64,
}

impl Watchdog {
    /// Starts to look after connections, until it is dropped.
    pub(crate) fn start() -> Self {
        let (connections, ticks) = (Arc::<Mutex<Connections>>::default(), Arc::<AtomicU32>::default());
        tokio::spawn(cut_late_ones(Arc::downgrade(&connections), ticks.clone()));
        Self { connections, ticks, next: AtomicU64::new(0) }
    }

    /// A new connection's record.
    pub(crate) fn activity(&self) -> Arc<Activity> {
        let activity = Activity { state: AtomicU32::new(0), ticks: self.ticks.clone() };
        activity.enter(Phase::Idle);
        Arc::new(activity)
    }

    /// Drives a connection, and looks after it until it ends.
    pub(crate) fn watch(&self, connection: impl Future<Output = ()> + Send + 'static, activity: Arc<Activity>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let listed = Listed { connections: self.connections.clone(), id };
        let task = tokio::spawn(async move {
            let _listed = listed;
            connection.await;
        });
        lock(&self.connections).insert(id, (activity, task.abort_handle()));
        // It may have ended before it was listed.
        if task.is_finished() {
            lock(&self.connections).remove(&id);
        }
    }

    /// Ends connections as soon as they have no request in flight; says whether all ended in time.
    pub(crate) async fn drain(self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        loop {
            let busy = {
                let connections = lock(&self.connections);
                let waits = |activity: &Activity| matches!(activity.phase(), Phase::Idle | Phase::Header);
                connections.values().filter(|(activity, _)| waits(activity)).for_each(|(_, task)| task.abort());
                connections.values().filter(|(activity, _)| !waits(activity)).count()
            };
            if busy == 0 {
                return true;
            }
            if Instant::now() >= until {
                lock(&self.connections).values().for_each(|(_, task)| task.abort());
                return false;
            }
            sleep(DRAIN_TICK).await;
        }
    }
}

/// Takes a connection off the list when it ends, however it ends.
struct Listed {
    connections: Arc<Mutex<Connections>>,
    id: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&self.connections).remove(&self.id);
    }
}

async fn cut_late_ones(connections: Weak<Mutex<Connections>>, ticks: Arc<AtomicU32>) {
    let mut interval = interval(TICK);
    loop {
        interval.tick().await;
        let now = ticks.fetch_add(1, Ordering::Relaxed) + 1;
        let Some(connections) = connections.upgrade() else { return };
        let connections = lock(&connections);
        connections.values().filter(|(activity, _)| activity.is_late(now)).for_each(|(_, task)| task.abort());
    }
}

fn lock(connections: &Mutex<Connections>) -> MutexGuard<'_, Connections> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream that keeps its connection's record.
#[derive(Debug)]
pub(crate) struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl Watched {
    /// A stream and its record.
    pub(crate) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if let (Poll::Ready(Ok(())), false) = (&read, buffer.filled().is_empty()) {
            this.activity.received();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        if let Poll::Ready(Ok(())) = flushed {
            this.activity.sent();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_late_by_its_phase() {
        let activity = Activity { state: AtomicU32::new(0), ticks: Arc::default() };
        let ticks = |duration: Duration| u32::try_from(duration.as_millis() / TICK.as_millis()).unwrap();
        let late = |phase, after: Duration| {
            activity.enter(phase);
            activity.is_late(ticks(after))
        };
        assert!(!late(Phase::Header, HEADER_DEADLINE));
        assert!(late(Phase::Header, HEADER_DEADLINE + TICK));
        assert!(!late(Phase::Idle, IDLE_DEADLINE));
        assert!(late(Phase::Idle, IDLE_DEADLINE + TICK));
        assert!(late(Phase::Response, IDLE_DEADLINE + TICK));
        assert!(!late(Phase::Request, IDLE_DEADLINE * 100));
    }

    #[test]
    fn bytes_begin_a_header_and_a_flush_ends_an_answer() {
        let activity = Activity { state: AtomicU32::new(0), ticks: Arc::default() };
        activity.sent();
        assert_eq!(activity.phase(), Phase::Idle);
        activity.received();
        assert_eq!(activity.phase(), Phase::Header);
        activity.request();
        activity.received();
        assert_eq!(activity.phase(), Phase::Request);
        activity.sent();
        assert_eq!(activity.phase(), Phase::Request);
        activity.response();
        activity.sent();
        assert_eq!(activity.phase(), Phase::Idle);
    }
}
