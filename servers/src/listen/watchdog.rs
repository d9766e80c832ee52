//! One watchdog for all connections of a door: it cuts those that take too long, and ends all of them in the end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{Instant, interval, sleep};

use crate::listen::activity::{Activity, Deadlines, Phase, TICK, Verdict};
use crate::listen::limits::Slot;

/// How often connections are looked at while the server stops.
const DRAIN_TICK: Duration = Duration::from_millis(5);
/// How long a connection without a request may take to say goodbye while the server stops.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(1);

type Connections = HashMap<u64, (Arc<Activity>, AbortHandle)>;

/// The connections of one door.
#[derive(Debug)]
pub(crate) struct Watchdog {
    connections: Arc<Mutex<Connections>>,
    ticks: Arc<AtomicU32>,
    next: AtomicU64,
}

impl Watchdog {
    /// Starts to look after connections, until it is dropped.
    pub(crate) fn start(deadlines: Deadlines) -> Self {
        let (connections, ticks) = (Arc::<Mutex<Connections>>::default(), Arc::<AtomicU32>::default());
        tokio::spawn(look_after(Arc::downgrade(&connections), ticks.clone(), deadlines));
        Self { connections, ticks, next: AtomicU64::new(0) }
    }

    /// A new connection's record.
    pub(crate) fn activity(&self, multiplexed: bool) -> Arc<Activity> {
        Arc::new(Activity::new(self.ticks.clone(), multiplexed))
    }

    /// Drives a connection, and looks after it until it ends, and its slot is free again.
    pub(crate) fn watch(
        &self,
        connection: impl Future<Output = ()> + Send + 'static,
        activity: Arc<Activity>,
        slot: Slot,
    ) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let listed = Listed { connections: self.connections.clone(), id, _slot: slot };
        // Awaited as it is, it would take its size twice.
        let connection = Box::pin(connection);
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
        let started = Instant::now();
        lock(&self.connections).values().for_each(|(activity, _)| activity.order_leave());
        loop {
            let took = started.elapsed();
            let waits = |activity: &Activity| {
                activity.is_busy() || (activity.phase() == Phase::Idle && took < GOODBYE_DEADLINE)
            };
            let left = {
                let connections = lock(&self.connections);
                connections.values().filter(|(activity, _)| !waits(activity)).for_each(|(_, task)| task.abort());
                connections.values().filter(|(activity, _)| waits(activity)).count()
            };
            if left == 0 {
                return true;
            }
            if took >= deadline {
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
    _slot: Slot,
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&self.connections).remove(&self.id);
    }
}

async fn look_after(connections: Weak<Mutex<Connections>>, ticks: Arc<AtomicU32>, deadlines: Deadlines) {
    let mut interval = interval(TICK);
    loop {
        interval.tick().await;
        let now = ticks.fetch_add(1, Ordering::Relaxed) + 1;
        let Some(connections) = connections.upgrade() else { return };
        for (activity, task) in lock(&connections).values() {
            match activity.verdict(now, &deadlines) {
                Verdict::Fine => {}
                Verdict::Rest => activity.order_rest(),
                Verdict::Overdue => activity.order_overdue(),
                Verdict::Leave => activity.order_leave(),
                Verdict::Cut => task.abort(),
            }
        }
    }
}

fn lock(connections: &Mutex<Connections>) -> MutexGuard<'_, Connections> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}
