//! What a connection is doing, since when, and how long it may.
//!
//! Kept in one word, so that a request changes it a few times without a lock or a timer. The watchdog reads it now and
//! then; what it decides goes the other way as an order, which the connection's task finds when it is woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::Context;
use std::time::Duration;

use futures::task::AtomicWaker;

/// How long a connection that was answered early may go on sending, so that its client gets to read the answer.
const LINGER_DEADLINE: Duration = Duration::from_secs(5);
/// The same for a client that was late already.
const LINGER_LATE_DEADLINE: Duration = Duration::from_secs(1);
/// How fast a body must come on average once [`Deadlines::body`] has passed.
const BODY_BYTES_PER_SEC_MIN: u64 = 16 << 10;
/// What an HTTP/2 client sends before anything else: the preface of 24 bytes and a frame's header of 9.
const PREFACE_BYTES: u64 = 33;
/// How often connections are looked at: deadlines are kept to this.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// How long a client may take; [`crate::config::Config`] has the defaults.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// For a TLS handshake, and for the header of a request once it has begun.
    pub(crate) header: Duration,
    /// For the next request to begin, and for an answer to be taken.
    pub(crate) idle: Duration,
    /// For a body to arrive, unless it comes at a fair speed.
    pub(crate) body: Duration,
    /// For a request as a whole, from its header to its answer.
    pub(crate) request: Duration,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It agrees on a TLS session.
    Handshake,
    /// It waits for a request.
    Idle,
    /// It reads the header of one.
    Header,
    /// It reads the body.
    Body,
    /// The request is complete and being served.
    Work,
    /// The answer is known and being written.
    Answer,
    /// All of the answer is known, and some of it may not be on its way.
    Flush,
    /// It is answered and over, and reads what its client still sends.
    Linger,
}

impl Phase {
    const ALL: [Self; 8] =
        [Self::Handshake, Self::Idle, Self::Header, Self::Body, Self::Work, Self::Answer, Self::Flush, Self::Linger];
    const BITS: u32 = 3;
    const MASK: u32 = (1 << Self::BITS) - 1;

    fn of(state: u32) -> Self {
        Self::ALL.into_iter().find(|phase| *phase as u32 == state & Self::MASK).unwrap_or(Self::Idle)
    }
}

/// What the watchdog makes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is in time.
    Fine,
    /// It waits, and may give up its buffers meanwhile.
    Rest,
    /// Its request takes too long: it is answered so.
    Overdue,
    /// It has been idle for too long, and may still say goodbye.
    Leave,
    /// It is cut.
    Cut,
}

/// The order to end once nothing is in flight.
const LEAVE: u8 = 1;
/// The order to answer the request in flight as too late.
const OVERDUE: u8 = 2;
/// The order to give up buffers unless a request has begun meanwhile.
const REST: u8 = 4;

/// What one connection is doing.
#[derive(Debug)]
pub(crate) struct Activity {
    /// The phase, and the tick it began in.
    state: AtomicU32,
    /// How much came: of a body, or before an HTTP/2 client's first request.
    bytes: AtomicU64,
    /// The requests in flight on an HTTP/2 connection; `None` for HTTP/1, which has one at a time.
    streams: Option<AtomicU32>,
    orders: AtomicU8,
    task: AtomicWaker,
    ticks: Arc<AtomicU32>,
}

impl Activity {
    /// A connection that has just begun.
    pub(crate) fn new(ticks: Arc<AtomicU32>, multiplexed: bool) -> Self {
        let activity = Self {
            state: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            streams: multiplexed.then(AtomicU32::default),
            orders: AtomicU8::new(0),
            task: AtomicWaker::new(),
            ticks,
        };
        activity.enter(Phase::Handshake);
        activity
    }

    fn enter(&self, phase: Phase) {
        let now = self.ticks.load(Ordering::Relaxed) << Phase::BITS;
        self.state.store(now | phase as u32, Ordering::Release);
    }

    /// What it is doing.
    pub(crate) fn phase(&self) -> Phase {
        Phase::of(self.state.load(Ordering::Acquire))
    }

    /// The connection can be read from.
    pub(crate) fn open(&self) {
        self.enter(if self.streams.is_some() { Phase::Header } else { Phase::Idle });
    }

    /// Bytes came in.
    pub(crate) fn received(&self, bytes: usize) {
        match (self.phase(), &self.streams) {
            (Phase::Idle, None) => self.enter(Phase::Header),
            (Phase::Header, Some(_)) => {
                let bytes = bytes as u64;
                if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes >= PREFACE_BYTES {
                    self.enter(Phase::Idle);
                }
            }
            _ => {}
        }
    }

    /// The header of a request has been read.
    pub(crate) fn request(&self, has_body: bool) {
        self.bytes.store(0, Ordering::Relaxed);
        self.enter(if has_body { Phase::Body } else { Phase::Work });
    }

    /// More of the body came.
    pub(crate) fn body(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// All of the body came; the request's time goes on.
    pub(crate) fn body_ended(&self) {
        let state = self.state.load(Ordering::Acquire);
        if Phase::of(state) == Phase::Body {
            self.state.store((state & !Phase::MASK) | Phase::Work as u32, Ordering::Release);
        }
    }

    /// The answer to a request is known.
    pub(crate) fn answer(&self) {
        self.enter(Phase::Answer);
    }

    /// All of the answer is known.
    pub(crate) fn answered(&self) {
        if self.phase() == Phase::Answer {
            self.enter(Phase::Flush);
        }
    }

    /// Everything known so far has been written.
    pub(crate) fn sent(&self) {
        if self.phase() == Phase::Flush {
            self.enter(Phase::Idle);
        }
    }

    /// The connection is over but for what its client still sends.
    pub(crate) fn linger(&self) {
        self.enter(Phase::Linger);
    }

    /// One more request of an HTTP/2 connection.
    pub(crate) fn stream_opened(&self) {
        self.streams.iter().for_each(|streams| _ = streams.fetch_add(1, Ordering::AcqRel));
    }

    /// A request of an HTTP/2 connection has been answered, or given up.
    pub(crate) fn stream_ended(&self) {
        self.enter(Phase::Idle);
        self.streams.iter().for_each(|streams| _ = streams.fetch_sub(1, Ordering::AcqRel));
    }

    /// Whether a request is in flight.
    pub(crate) fn is_busy(&self) -> bool {
        match &self.streams {
            Some(streams) => streams.load(Ordering::Acquire) > 0,
            None => matches!(self.phase(), Phase::Body | Phase::Work | Phase::Answer | Phase::Flush),
        }
    }

    /// Whether several requests share the connection.
    pub(crate) fn is_multiplexed(&self) -> bool {
        self.streams.is_some()
    }

    /// What is to be done with the connection at a tick.
    pub(crate) fn verdict(&self, now: u32, deadlines: &Deadlines) -> Verdict {
        let state = self.state.load(Ordering::Acquire);
        let took = TICK * (now.wrapping_sub(state >> Phase::BITS) & (u32::MAX >> Phase::BITS));
        let cut_after = |deadline: Duration| if took > deadline { Verdict::Cut } else { Verdict::Fine };
        if self.is_multiplexed() && self.is_busy() {
            return Verdict::Fine;
        }
        match Phase::of(state) {
            Phase::Handshake | Phase::Header => cut_after(deadlines.header),
            Phase::Idle if took > deadlines.idle + deadlines.header => Verdict::Cut,
            Phase::Idle if took > deadlines.idle => Verdict::Leave,
            Phase::Idle if took > TICK && !self.is_multiplexed() => Verdict::Rest,
            Phase::Idle => Verdict::Fine,
            Phase::Answer | Phase::Flush => cut_after(deadlines.idle),
            Phase::Linger if self.has(OVERDUE) => cut_after(LINGER_LATE_DEADLINE),
            Phase::Linger => cut_after(LINGER_DEADLINE),
            Phase::Body if took > deadlines.body && self.is_slow(took) => Verdict::Overdue,
            Phase::Body | Phase::Work if took > deadlines.request => Verdict::Overdue,
            Phase::Body | Phase::Work => Verdict::Fine,
        }
    }

    fn is_slow(&self, took: Duration) -> bool {
        self.bytes.load(Ordering::Relaxed) < BODY_BYTES_PER_SEC_MIN * took.as_secs()
    }

    fn has(&self, order: u8) -> bool {
        self.orders.load(Ordering::Acquire) & order != 0
    }

    fn order(&self, order: u8) {
        if self.orders.fetch_or(order, Ordering::AcqRel) & order == 0 {
            self.task.wake();
        }
    }

    /// Has the request in flight answered as too late.
    pub(crate) fn order_overdue(&self) {
        self.order(OVERDUE);
    }

    /// Has the connection end once nothing is in flight.
    pub(crate) fn order_leave(&self) {
        self.order(LEAVE);
    }

    /// Has the connection give up its buffers.
    pub(crate) fn order_rest(&self) {
        self.order(REST);
    }

    /// Whether the connection is to give up its buffers now; it is told once.
    pub(crate) fn rests(&self) -> bool {
        self.has(REST) && self.orders.fetch_and(!REST, Ordering::AcqRel) & REST != 0 && self.phase() == Phase::Idle
    }

    /// The connection has something to do again.
    pub(crate) fn wake(&self) {
        self.orders.fetch_and(!REST, Ordering::AcqRel);
    }

    /// Whether the request in flight takes too long.
    pub(crate) fn is_overdue(&self) -> bool {
        self.has(OVERDUE)
    }

    /// Whether the connection is to end.
    pub(crate) fn is_leaving(&self) -> bool {
        self.has(LEAVE)
    }

    /// Has orders wake this task.
    pub(crate) fn listen(&self, cx: &Context<'_>) {
        self.task.register(cx.waker());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINES: Deadlines = Deadlines {
        header: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        body: Duration::from_secs(10),
        request: Duration::from_secs(30),
    };

    fn after(activity: &Activity, duration: Duration) -> Verdict {
        activity.verdict(u32::try_from(duration.as_millis() / TICK.as_millis()).unwrap(), &DEADLINES)
    }

    #[test]
    fn a_connection_is_late_by_its_phase() {
        let activity = Activity::new(Arc::default(), false);
        let cases = [
            (Phase::Handshake, DEADLINES.header, Verdict::Cut),
            (Phase::Header, DEADLINES.header, Verdict::Cut),
            (Phase::Idle, DEADLINES.idle, Verdict::Leave),
            (Phase::Answer, DEADLINES.idle, Verdict::Cut),
            (Phase::Flush, DEADLINES.idle, Verdict::Cut),
            (Phase::Body, DEADLINES.body, Verdict::Overdue),
            (Phase::Work, DEADLINES.request, Verdict::Overdue),
            (Phase::Linger, LINGER_DEADLINE, Verdict::Cut),
        ];
        for (phase, deadline, verdict) in cases {
            activity.enter(phase);
            let before = if phase == Phase::Idle { Verdict::Rest } else { Verdict::Fine };
            assert_eq!(after(&activity, deadline), before, "{phase:?}");
            assert_eq!(after(&activity, deadline + TICK), verdict, "{phase:?}");
        }
    }

    #[test]
    fn a_body_that_comes_at_a_fair_speed_has_the_time_of_the_request() {
        let activity = Activity::new(Arc::default(), false);
        activity.request(true);
        let fair = usize::try_from(BODY_BYTES_PER_SEC_MIN * DEADLINES.request.as_secs()).unwrap();
        activity.body(fair - 1);
        assert_eq!(after(&activity, DEADLINES.request - TICK), Verdict::Fine);
        assert_eq!(after(&activity, DEADLINES.request), Verdict::Overdue);
        activity.body(1);
        assert_eq!(after(&activity, DEADLINES.request), Verdict::Fine);
        assert_eq!(after(&activity, DEADLINES.request + TICK), Verdict::Overdue);
    }

    #[test]
    fn one_request_after_the_other_goes_through_the_phases() {
        let activity = Activity::new(Arc::default(), false);
        activity.open();
        for _ in 0..2 {
            assert_eq!(activity.phase(), Phase::Idle);
            activity.received(1);
            assert_eq!(activity.phase(), Phase::Header);
            activity.request(true);
            activity.received(1);
            activity.sent();
            assert_eq!(activity.phase(), Phase::Body);
            activity.body_ended();
            assert_eq!(activity.phase(), Phase::Work);
            activity.answer();
            activity.sent();
            assert_eq!(activity.phase(), Phase::Answer);
            activity.answered();
            assert_eq!(activity.phase(), Phase::Flush);
            activity.sent();
        }
    }

    #[test]
    fn an_http2_connection_is_idle_between_requests_and_may_not_take_long_to_begin() {
        let activity = Activity::new(Arc::default(), true);
        activity.open();
        assert_eq!(after(&activity, DEADLINES.header + TICK), Verdict::Cut);
        activity.received(32);
        assert_eq!(activity.phase(), Phase::Header);
        activity.received(1);
        activity.stream_opened();
        assert_eq!(after(&activity, DEADLINES.idle * 9), Verdict::Fine);
        activity.stream_ended();
        assert_eq!(after(&activity, DEADLINES.idle + TICK), Verdict::Leave);
        assert_eq!(after(&activity, DEADLINES.idle + DEADLINES.header + TICK), Verdict::Cut);
    }
}
