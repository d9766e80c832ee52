//! How a worker stands: whether it has a main, what waits for the stream to it, and what it did.

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
}

#[derive(Default)]
struct Now {
    hands: Option<Hands>,
    /// Where its answers go, while there is a stream.
    stream: Option<mpsc::WeakSender<FromWorker>>,
    streams_opened: u64,
}

/// A look at it.
#[derive(Debug, Default)]
pub(crate) struct Stood {
    pub(crate) stats: EngineStats,
    /// Streams that are open: one or none.
    pub(crate) streams: u64,
    pub(crate) streams_opened: u64,
    /// Answers that wait for the connection.
    pub(crate) queued: u64,
}

impl Standing {
    /// A worker without a main.
    pub(crate) async fn new(health: HealthReporter) -> Self {
        let standing = Self { health, now: Mutex::default() };
        standing.over().await;
        standing
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has a main: these hands do the work, and what they did is said there.
    pub(super) async fn begun(&self, hands: Hands, stream: &mpsc::Sender<FromWorker>) {
        {
            let mut now = self.now();
            now.hands = Some(hands);
            now.stream = Some(stream.downgrade());
            now.streams_opened += 1;
        }
        self.health.set_service_status("", ServingStatus::Serving).await;
    }

    /// It has no main.
    pub(super) async fn over(&self) {
        self.now().stream = None;
        self.health.set_service_status("", ServingStatus::NotServing).await;
    }

    /// How it stands now.
    pub(crate) fn look(&self) -> Stood {
        let now = self.now();
        let stream = now.stream.as_ref().and_then(mpsc::WeakSender::upgrade);
        let queued = stream.as_ref().map_or(0, |stream| stream.max_capacity().saturating_sub(stream.capacity()));
        Stood {
            stats: now.hands.as_ref().map(Hands::stats).unwrap_or_default(),
            streams: u64::from(stream.is_some()),
            streams_opened: now.streams_opened,
            queued: queued as u64,
        }
    }
}
