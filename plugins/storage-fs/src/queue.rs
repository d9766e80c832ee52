//! The writes that wait for the commit thread: bounded, and answered whatever happens to the thread.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use delta_core::storage::Expect;
use delta_core::{Error, Result};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::failure::stopped;
use crate::layout::Place;
use crate::stripes::Stripe;

/// What becomes of one object.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// These bytes replace it.
    Put(Bytes),
    /// It is removed.
    Delete,
    /// It is put aside.
    Quarantine,
}

/// A write, what it demands to find, and who waits for the answer.
#[derive(Debug)]
pub(crate) struct Demand {
    pub(crate) place: Place,
    pub(crate) stripe: Stripe,
    pub(crate) change: Change,
    pub(crate) expect: Expect,
    pub(crate) answer: oneshot::Sender<Result<()>>,
}

impl Demand {
    fn bytes(&self) -> usize {
        match &self.change {
            Change::Put(image) => image.len(),
            Change::Delete | Change::Quarantine => 0,
        }
    }

    /// Answers; the caller may have gone.
    pub(crate) fn answer(self, answer: Result<()>) {
        drop(self.answer.send(answer));
    }
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    commit_writes_max: usize,
    waiting_writes_max: usize,
    waiting_bytes_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    demands: Vec<Demand>,
    bytes: usize,
    end: Option<End>,
}

/// Why nothing is taken any more.
#[derive(Debug)]
enum End {
    Closed,
    Failed(String),
}

impl Queue {
    /// An empty queue with its part of the limits of the settings.
    pub(crate) fn new(config: &Config, queues: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            arrived: Condvar::new(),
            commit_writes_max: config.commit_writes_max.div_ceil(queues),
            waiting_writes_max: config.waiting_writes_max.div_ceil(queues),
            waiting_bytes_max: config.waiting_bytes_max.div_ceil(queues),
        }
    }

    /// Takes writes, or gives all of them back because the disk does not keep up or nothing is taken any more.
    pub(crate) fn push(&self, demands: Vec<Demand>) -> Result<(), (Error, Vec<Demand>)> {
        if demands.is_empty() {
            return Ok(());
        }
        let bytes: usize = demands.iter().map(Demand::bytes).sum();
        let mut waiting = self.waiting();
        if let Err(error) = waiting.accepts() {
            return Err((error, demands));
        }
        // What is too much by itself is taken when it is alone.
        let is_alone = waiting.demands.is_empty();
        let (writes, most) = (waiting.demands.len() + demands.len(), self.waiting_writes_max);
        if !is_alone && (writes > most || waiting.bytes + bytes > self.waiting_bytes_max) {
            let message = format!(
                "more than {most} writes or {} bytes wait for the disk; try again later",
                self.waiting_bytes_max
            );
            return Err((Error::unavailable(message), demands));
        }
        waiting.bytes += bytes;
        waiting.demands.extend(demands);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for writes and takes as many as may share a commit; none when there will be no more. Blocks.
    pub(crate) fn take(&self) -> Vec<Demand> {
        let mut waiting = self.waiting();
        while waiting.demands.is_empty() {
            if waiting.end.is_some() {
                return Vec::new();
            }
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.take(self.commit_writes_max)
    }

    /// Takes writes that wait already, as many as may share a commit with so many others.
    pub(crate) fn take_now(&self, others: usize) -> Vec<Demand> {
        self.waiting().take(self.commit_writes_max.saturating_sub(others))
    }

    /// Whether writes are taken; the error says why not.
    pub(crate) fn accepts(&self) -> Result<()> {
        self.waiting().accepts()
    }

    /// Refuses to do even what was taken once the disk has failed.
    pub(crate) fn has_failed(&self) -> Result<()> {
        match &self.waiting().end {
            Some(End::Failed(why)) => Err(stopped(why)),
            _ => Ok(()),
        }
    }

    /// Takes no more writes; those that wait are still done.
    pub(crate) fn close(&self) {
        self.waiting().end.get_or_insert(End::Closed);
        self.arrived.notify_all();
    }

    /// Takes no more writes, and refuses those that wait: nothing of them was written.
    pub(crate) fn fail(&self, why: &str) {
        let mut waiting = self.waiting();
        for demand in std::mem::take(&mut waiting.demands) {
            demand.answer(Err(stopped(why)));
        }
        waiting.bytes = 0;
        waiting.end = Some(End::Failed(why.to_owned()));
        self.arrived.notify_all();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take(&mut self, most: usize) -> Vec<Demand> {
        let taken: Vec<_> = self.demands.drain(..self.demands.len().min(most)).collect();
        self.bytes -= taken.iter().map(Demand::bytes).sum::<usize>();
        taken
    }

    fn accepts(&self) -> Result<()> {
        match &self.end {
            None => Ok(()),
            Some(End::Closed) => Err(Error::unavailable("the store is closed")),
            Some(End::Failed(why)) => Err(stopped(why)),
        }
    }
}
