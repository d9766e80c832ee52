//! Which workers there are, and which of them gets a task.
//!
//! Routing is rendezvous hashing of database and key (Thaler and Ravishankar, 1998) with bounded load: an entity keeps its
//! worker, and its place in that worker's cache, until the worker carries more than its share. There is no table: a worker
//! that comes or goes moves only its own part.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use delta_core::cache::CacheStats;
use delta_core::clock::{Clock, Timestamp};
use delta_core::name::{DatabaseName, EntityKey, WriterId};
use delta_core::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

use crate::cluster::main::session::{Session, State};

/// How many workers one main has.
const WORKERS_MAX: usize = 1_000;
/// A worker may have this many tasks, whatever the others have.
const TASKS_ALWAYS: usize = 8;
/// How long a worker that did not leave in order is still listed.
const GONE_LISTED: Duration = Duration::from_secs(600);

/// What a worker is doing, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Available,
    Draining,
    Unresponsive,
}

/// A worker, for people.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) worker: WriterId,
    pub(crate) status: Status,
    pub(crate) last_seen: Timestamp,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) active: u64,
    /// Frames that wait for its connection.
    pub(crate) queued: u64,
    pub(crate) cache: CacheStats,
}

#[derive(Debug, Default)]
struct Workers {
    live: Vec<Arc<Session>>,
    /// Those that did not leave in order, and when they went.
    gone: Vec<(Instant, Listed)>,
}

/// The workers of a main.
#[derive(Debug)]
pub(crate) struct Roster {
    workers: Mutex<Workers>,
    clock: Arc<dyn Clock>,
}

impl Roster {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { workers: Mutex::default(), clock }
    }

    fn workers(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker of this id that is here now.
    pub(crate) fn find(&self, worker: &WriterId) -> Option<Arc<Session>> {
        self.workers().live.iter().find(|session| session.worker == *worker).cloned()
    }

    /// Takes a worker in; `Conflict` where one of its id is here.
    pub(crate) fn join(&self, session: &Arc<Session>) -> Result<()> {
        let mut workers = self.workers();
        if workers.live.iter().any(|live| live.worker == session.worker) {
            return Err(taken(&session.worker));
        }
        if workers.live.len() >= WORKERS_MAX {
            return Err(Error::unavailable(format!("this main has {WORKERS_MAX} workers; start another main")));
        }
        workers.gone.retain(|(_, gone)| gone.worker != session.worker);
        workers.live.push(session.clone());
        Ok(())
    }

    /// Takes note that a worker's stream is over.
    pub(crate) fn leave(&self, session: &Arc<Session>, in_order: bool) {
        let listed = self.listed(session);
        let mut workers = self.workers();
        workers.live.retain(|live| !Arc::ptr_eq(live, session));
        workers.gone.retain(|(went, gone)| went.elapsed() < GONE_LISTED && gone.worker != session.worker);
        if !in_order && workers.gone.len() < WORKERS_MAX {
            workers
                .gone
                .push((Instant::now(), Listed { status: Status::Unresponsive, active: 0, queued: 0, ..listed }));
        }
    }

    /// Every worker, by its id.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let (live, gone) = {
            let workers = self.workers();
            let gone = workers.gone.iter().filter(|(went, _)| went.elapsed() < GONE_LISTED);
            (workers.live.clone(), gone.map(|(_, listed)| listed.clone()).collect::<Vec<_>>())
        };
        let mut all: Vec<_> = live.iter().map(|session| self.listed(session)).chain(gone).collect();
        all.sort_by(|a, b| a.worker.cmp(&b.worker));
        all
    }

    fn listed(&self, session: &Session) -> Listed {
        let silent = u64::try_from(session.silent_for().as_micros()).unwrap_or(u64::MAX);
        let mut tags: Vec<_> = session.tags.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        tags.sort_unstable();
        Listed {
            worker: session.worker.clone(),
            status: match session.state() {
                State::Open => Status::Available,
                State::Draining => Status::Draining,
                State::Ended => Status::Unresponsive,
            },
            last_seen: Timestamp(self.clock.now().0.saturating_sub(silent)),
            tags,
            active: session.in_flight() as u64,
            queued: session.queued() as u64,
            cache: session.cache(),
        }
    }

    /// The workers that take tasks.
    pub(crate) fn open(&self) -> Vec<Arc<Session>> {
        let live = self.workers().live.clone();
        live.into_iter().filter(|session| session.state() == State::Open).collect()
    }

    /// The workers that take tasks, the best one for an entity first.
    pub(crate) fn candidates(&self, database: &DatabaseName, key: &EntityKey) -> Vec<Arc<Session>> {
        let mut open = self.open();
        rank(&mut open, database, key);
        let in_flight: Vec<_> = open.iter().map(|session| session.in_flight()).collect();
        let share = share(in_flight.iter().sum(), open.len());
        // Stable: those within their share keep the order among themselves.
        let mut loaded: Vec<_> = open.into_iter().zip(in_flight).collect();
        loaded.sort_by_key(|(_, tasks)| *tasks >= share);
        loaded.into_iter().map(|(session, _)| session).collect()
    }
}

/// How many tasks one of so many workers may have before the next one gets them: a quarter more than its part.
fn share(tasks: usize, workers: usize) -> usize {
    let part = (tasks + 1).saturating_mul(5).div_ceil(4).div_ceil(workers.max(1));
    part.max(TASKS_ALWAYS)
}

/// Puts the worker that has an entity first, then the one that would have it without that one, and so on.
pub(crate) fn rank(workers: &mut [Arc<Session>], database: &DatabaseName, key: &EntityKey) {
    if workers.len() > 1 {
        workers.sort_by_cached_key(|session| {
            let weight = weight(session.worker.as_str(), database.as_str(), key.as_str());
            (std::cmp::Reverse(weight), session.worker.clone())
        });
    }
}

/// No name holds a NUL, so no two triples are hashed alike.
fn weight(worker: &str, database: &str, key: &str) -> u64 {
    let mut text = Vec::with_capacity(worker.len() + database.len() + key.len() + 2);
    for (at, part) in [worker, database, key].into_iter().enumerate() {
        if at > 0 {
            text.push(0);
        }
        text.extend_from_slice(part.as_bytes());
    }
    xxh3_64(&text)
}

/// A worker of this id is here already.
pub(crate) fn taken(worker: &WriterId) -> Error {
    let message = format!("a worker called {worker} is here already; give each its own --worker-id");
    Error::conflict(message).with_code("worker_id_taken")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    const WORKERS: [&str; 5] = ["w1", "w2", "w3", "w4", "w5"];

    fn owner<'a>(workers: &[&'a str], key: &str) -> &'a str {
        workers.iter().copied().max_by_key(|worker| weight(worker, "db", key)).unwrap()
    }

    #[test]
    fn a_worker_that_goes_moves_only_its_own_part() {
        let keys: Vec<_> = (0..10_000).map(|n| format!("key-{n}")).collect();
        let mut owned: HashMap<&str, usize> = HashMap::new();
        for key in &keys {
            let before = owner(&WORKERS, key);
            *owned.entry(before).or_default() += 1;
            let after = owner(&WORKERS[1..], key);
            assert!(after == before || before == "w1", "{key} moved from {before} to {after}");
        }
        assert!(owned.values().all(|count| (1_800..2_200).contains(count)), "{owned:?}");
        let moved: HashSet<_> = keys.iter().filter(|key| owner(&WORKERS, key) == "w1").collect();
        let heirs: HashSet<_> = moved.iter().map(|key| owner(&WORKERS[1..], key)).collect();
        assert_eq!(heirs.len(), 4, "all others inherit");
    }

    #[test]
    fn a_share_is_a_quarter_more_than_a_part() {
        assert_eq!(share(0, 3), TASKS_ALWAYS);
        assert_eq!(share(99, 1), 125);
        assert_eq!(share(99, 4), 32);
        assert_eq!(share(0, 0), TASKS_ALWAYS);
    }
}
