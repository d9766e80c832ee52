//! How a worker stands: whether it has a main, what waits for the streams to its mains, and what it did.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use delta_core::engine::{EngineStats, Hands};
use tokio::sync::mpsc;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::grpc::api::delta::v1::FromWorker;

/// What others may know of a worker; it is healthy while it has a main.
pub(crate) struct Standing {
    health: HealthReporter,
    now: Mutex<Now>,
    /// Held while its health is said, so that what is said last is so.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Now {
    hands: Option<Hands>,
    /// Where its answers go, for each main that there is a stream to, by the main's place.
    streams: HashMap<usize, mpsc::WeakSender<FromWorker>>,
    streams_opened: u64,
}

/// A look at it.
#[derive(Debug, Default)]
pub(crate) struct Stood {
    pub(crate) stats: EngineStats,
    /// Streams that are open: one for each main.
    pub(crate) streams: u64,
    pub(crate) streams_opened: u64,
    /// Answers that wait for the connection.
    pub(crate) queued: u64,
}

impl Standing {
    /// A worker without a main.
    pub(crate) async fn new(health: HealthReporter) -> Self {
        let standing = Self { health, now: Mutex::default(), turn: tokio::sync::Mutex::default() };
        standing.say().await;
        standing
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has this main: these hands do the work, and what they did is said there.
    pub(super) async fn begun(&self, main: usize, hands: Hands, stream: &mpsc::Sender<FromWorker>) {
        {
            let mut now = self.now();
            now.hands = Some(hands);
            now.streams.insert(main, stream.downgrade());
            now.streams_opened += 1;
        }
        self.say().await;
    }

    /// It has this main no more.
    pub(super) async fn over(&self, main: usize) {
        self.now().streams.remove(&main);
        self.say().await;
    }

    async fn say(&self) {
        let _turn = self.turn.lock().await;
        let has_main = !self.now().streams.is_empty();
        let status = if has_main { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.health.set_service_status("", status).await;
    }

    /// How it stands now.
    pub(crate) fn look(&self) -> Stood {
        let now = self.now();
        let streams: Vec<_> = now.streams.values().filter_map(mpsc::WeakSender::upgrade).collect();
        let queued: usize = streams.iter().map(|stream| stream.max_capacity().saturating_sub(stream.capacity())).sum();
        Stood {
            stats: now.hands.as_ref().map(Hands::stats).unwrap_or_default(),
            streams: streams.len() as u64,
            streams_opened: now.streams_opened,
            queued: queued as u64,
        }
    }
}
