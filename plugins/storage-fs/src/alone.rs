//! Which writes are done each for itself: all, while they are few and the disk is quick, or nothing is gained by sharing.
//!
//! A disk that syncs many files at the same time finishes them sooner than a sync of the whole file system, which waits for
//! everything; one that syncs them one after the other does not, and then writes had better share. The surprise: nothing is
//! known of the disk beforehand. What such writes have taken lately decides, and from time to time one tries again.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many are done at the same time, and how many writes of all kinds are few.
const ALONE_MAX: usize = 16;
/// How long they may take on average for the next to be done so, too.
const ALONE_TIME_MAX: Duration = Duration::from_millis(4);
/// How long after they took longer one tries again.
const PAUSE: Duration = Duration::from_millis(100);
/// How long they may take on average for one to be done where it is called: as long as an async thread may be blocked without
/// harm to the others.
const HERE_TIME_MAX: Duration = Duration::from_millis(1);
/// How many the average is of, about.
const AVERAGED: u32 = 32;

/// The writes that are done each for itself.
#[derive(Debug)]
pub(crate) struct Alone {
    /// Whether one sync can stand for many writes.
    can_share: bool,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// All writes, those that share as well.
    under_way: usize,
    /// Those for themselves.
    running: usize,
    is_closed: bool,
    average: Duration,
    /// When the average became too long.
    slow_since: Option<Instant>,
}

/// A write, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay<'a>(&'a Alone);

/// The right to do one write for itself, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    alone: Arc<Alone>,
    begun: Instant,
    /// Whether it tries again after a pause.
    is_trial: bool,
    /// Whether it may be done on an async thread.
    pub(crate) may_block: bool,
}

impl Alone {
    /// Nothing is known yet, but whether one sync can stand for many writes.
    pub(crate) fn new(can_share: bool) -> Self {
        Self { can_share, state: Mutex::default(), ended: Condvar::new() }
    }

    /// Counts a write, however it will be done.
    pub(crate) fn count(&self) -> UnderWay<'_> {
        self.state().under_way += 1;
        UnderWay(self)
    }

    /// A turn for a write that is counted, unless there are too many, they take too long, or the store is closed.
    pub(crate) fn begin(self: &Arc<Self>) -> Option<Turn> {
        self.begin_at(Instant::now())
    }

    fn begin_at(self: &Arc<Self>, begun: Instant) -> Option<Turn> {
        let mut state = self.state();
        let is_trial = state.slow_since.is_some();
        let is_pause = state.slow_since.is_some_and(|since| begun < since + PAUSE);
        // A write that its caller has given up is done, and not counted.
        let is_crowd = state.under_way > ALONE_MAX || state.running >= ALONE_MAX;
        if state.is_closed || is_pause || is_crowd {
            return None;
        }
        if is_trial {
            // The next one waits for as long again.
            state.slow_since = Some(begun);
        }
        state.running += 1;
        let may_block = state.under_way == 1 && state.average < HERE_TIME_MAX;
        Some(Turn { alone: self.clone(), begun, is_trial, may_block })
    }

    /// Gives no more turns, and waits until all have ended. Blocks.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        while state.running > 0 {
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        let mut state = self.alone.state();
        state.running -= 1;
        state.average = match self.is_trial {
            true => took,
            false => (state.average * (AVERAGED - 1) + took) / AVERAGED,
        };
        let is_slow = self.alone.can_share && state.average > ALONE_TIME_MAX;
        state.slow_since = is_slow.then(|| state.slow_since.unwrap_or_else(Instant::now));
        drop(state);
        self.alone.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A write that looks as if it took so long.
    fn takes(mut turn: Turn, time: Duration) {
        turn.begun = Instant::now().checked_sub(time).unwrap();
    }

    #[test]
    fn a_few_at_a_time_and_the_first_one_may_block() {
        let alone = Arc::new(Alone::new(true));
        let mut writes: Vec<_> = (0..ALONE_MAX).map(|_| (alone.count(), alone.begin().unwrap())).collect();
        assert_eq!(writes.iter().filter(|(_, turn)| turn.may_block).count(), 1);
        let another = alone.count();
        assert!(alone.begin().is_none());
        drop(another);
        assert!(alone.begin().is_none(), "16 go on, although one may have been given up");
        writes.pop();
        assert!(alone.begin().is_some());
        drop(writes);
        let sharing: Vec<_> = (0..ALONE_MAX).map(|_| alone.count()).collect();
        let _one = alone.count();
        assert!(alone.begin().is_none(), "those that share are a crowd as well");
        drop(sharing);
        assert!(alone.begin().unwrap().may_block);
    }

    #[test]
    fn what_takes_too_long_ends_it_until_a_trial_is_quick() {
        let alone = Arc::new(Alone::new(true));
        let (start, _one) = (Instant::now(), alone.count());
        takes(alone.begin().unwrap(), ALONE_TIME_MAX * AVERAGED * 2);
        assert!(alone.begin_at(start).is_none(), "the average is twice as long as it may be");
        let (later, last) = (start + Duration::from_secs(60), start + Duration::from_secs(120));
        let trial = alone.begin_at(later).unwrap();
        assert!(alone.begin_at(later + PAUSE / 2).is_none(), "one trial a pause");
        assert!(!trial.may_block, "nobody knows how long it takes");
        takes(trial, ALONE_TIME_MAX * 2);
        assert!(alone.begin_at(later + PAUSE / 2).is_none(), "the trial took too long as well");
        // It ends before it began, so it took no time at all.
        drop(alone.begin_at(last).unwrap());
        assert!(alone.begin_at(last).unwrap().may_block, "the trial was quick");
    }

    #[test]
    fn where_nothing_is_gained_by_sharing_it_never_ends() {
        let alone = Arc::new(Alone::new(false));
        let _one = alone.count();
        takes(alone.begin().unwrap(), ALONE_TIME_MAX * AVERAGED * 2);
        assert!(!alone.begin().unwrap().may_block, "but it is too slow for an async thread");
    }

    #[test]
    fn closing_waits_for_all_and_admits_no_other() {
        let alone = Arc::new(Alone::new(true));
        let turn = alone.begin().unwrap();
        std::thread::scope(|scope| {
            let closing = scope.spawn(|| alone.close());
            while !alone.state().is_closed {
                std::thread::yield_now();
            }
            assert!(!closing.is_finished());
            assert!(alone.begin().is_none());
            drop(turn);
        });
    }
}
