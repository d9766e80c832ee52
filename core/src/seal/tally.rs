//! How often sealing and opening worked, and how often not.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Result;

/// What a sealer did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SealStats {
    /// Objects that were sealed.
    pub sealed: u64,
    /// Objects that could not be.
    pub seal_failures: u64,
    /// Objects that opened.
    pub opened: u64,
    /// Objects that did not: damaged, misplaced, or sealed under a key that this store does not have.
    pub open_failures: u64,
}

/// Counts what a sealer does.
#[derive(Debug, Default)]
pub(super) struct Tally {
    sealed: AtomicU64,
    seal_failures: AtomicU64,
    opened: AtomicU64,
    open_failures: AtomicU64,
}

impl Tally {
    pub(super) fn sealed<T>(&self, result: Result<T>) -> Result<T> {
        count(result, &self.sealed, &self.seal_failures)
    }

    pub(super) fn opened<T>(&self, result: Result<T>) -> Result<T> {
        count(result, &self.opened, &self.open_failures)
    }

    pub(super) fn stats(&self) -> SealStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SealStats {
            sealed: read(&self.sealed),
            seal_failures: read(&self.seal_failures),
            opened: read(&self.opened),
            open_failures: read(&self.open_failures),
        }
    }
}

fn count<T>(result: Result<T>, done: &AtomicU64, failed: &AtomicU64) -> Result<T> {
    let counter = if result.is_ok() { done } else { failed };
    counter.fetch_add(1, Ordering::Relaxed);
    result
}
