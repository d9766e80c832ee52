//! Writes whose stripe another process or thread holds: one thread a stripe waits, and does all that have come by then.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use delta_core::Error;

use crate::committer::Worker;
use crate::queue::Demand;
use crate::stripes::Stripe;

/// The writes that wait for a stripe, by stripe; each that is here has a thread.
#[derive(Debug, Default)]
pub(crate) struct Contended {
    waiting: Mutex<HashMap<Stripe, Vec<Demand>>>,
    ended: Condvar,
}

impl Contended {
    /// Leaves writes to the thread that waits for their stripe, and starts it where there is none.
    pub(crate) fn hand_over(&self, worker: &Arc<Worker>, stripe: Stripe, demands: Vec<Demand>) {
        let mut waiting = self.waiting();
        if let Some(others) = waiting.get_mut(&stripe) {
            others.extend(demands);
            return;
        }
        waiting.insert(stripe, demands);
        drop(waiting);
        let working = worker.clone();
        let run = move || working.contended.wait(&working, stripe);
        let started = std::thread::Builder::new().name("stripe".into()).spawn(run);
        if let Err(error) = started {
            let refused = self.waiting().remove(&stripe).unwrap_or_default();
            for demand in refused {
                let message = format!("cannot start a thread: {error}; nothing was written, try again later");
                demand.answer(Err(Error::unavailable(message)));
            }
        }
    }

    /// Works on a stripe until nothing waits for it.
    fn wait(&self, worker: &Worker, stripe: Stripe) {
        let ending = Ending { contended: self, stripe };
        loop {
            worker.when_free(stripe, || self.waiting().get_mut(&stripe).map(std::mem::take).unwrap_or_default());
            let mut waiting = self.waiting();
            if waiting.get(&stripe).is_none_or(Vec::is_empty) {
                // In the same moment, so that nothing is left behind.
                waiting.remove(&stripe);
                drop(waiting);
                return drop(ending);
            }
        }
    }

    /// Waits until nothing waits for a stripe. Blocks.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting();
        while !waiting.is_empty() {
            waiting = self.ended.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Stripe, Vec<Demand>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a thread that waits for a stripe, also by a panic: whatever still waits is answered by being dropped.
struct Ending<'a> {
    contended: &'a Contended,
    stripe: Stripe,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.contended.waiting().remove(&self.stripe);
        }
        self.contended.ended.notify_all();
    }
}
