//! What Prometheus is told: requests, storage calls, the cache and everything else that can be counted.
//!
//! Observing costs a few atomic additions: the series of a label's values are looked up once and kept. No label holds a
//! database, a key, a client or a path, so their number is bounded. What core counts itself is read when somebody scrapes.

mod grpc;
mod page;
mod process;
mod requests;
mod sampled;
mod storage;
mod table;
pub(crate) mod work;

use std::sync::Arc;

use anyhow::Result;
use prometheus::Registry;

pub(crate) use grpc::Calls;
pub(crate) use page::Page;
pub(crate) use requests::{Requests, Route};
pub(crate) use storage::{Measured, StorageCalls};
pub(crate) use work::Work;

use crate::app::App;
use crate::cluster::worker::Standing;
use crate::listen::Front;
use sampled::Sampled;

/// Latencies in seconds: from a read out of memory to a request that takes as long as it may.
const BUCKETS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// How an outcome is called that nobody waited for: the client hung up, or a deadline passed.
const ABANDONED: &str = "none";

/// The metrics of a process that serves clients.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Of REST.
    pub(crate) requests: Arc<Requests>,
    /// Of gRPC.
    pub(crate) calls: Arc<Calls>,
    /// Of the storage.
    pub(crate) storage: Arc<StorageCalls>,
    /// Of its workers, where it has some.
    pub(crate) work: Arc<Work>,
}

impl Metrics {
    /// The metrics of a process that has done nothing yet; `document` is the OpenAPI document.
    pub(crate) fn new(document: &str) -> Result<Self> {
        let registry = Registry::new();
        let about = ("deltadb_requests_in_flight", "Requests that are being served.");
        let in_flight = table::gauges(&registry, about, "interface")?;
        let [rest, grpc] = ["rest", "grpc"].map(|interface| in_flight.with_label_values(&[interface]));
        Ok(Self {
            requests: Arc::new(Requests::new(&registry, rest, document)?),
            calls: Arc::new(Calls::new(&registry, grpc)?),
            storage: Arc::new(StorageCalls::new(&registry)?),
            work: Arc::new(Work::new(&registry)?),
            registry,
        })
    }

    /// The page of these, and of what an app and its front door count themselves.
    pub(crate) fn page(self, app: Arc<App>, front: &Front) -> Result<Page> {
        self.registry.register(Box::new(Sampled::of_app(app, front.clone())?))?;
        Ok(Page::new(self.registry))
    }
}

/// The metrics of a worker.
#[derive(Debug, Clone)]
pub(crate) struct OfWorker {
    registry: Registry,
    /// Of the storage.
    pub(crate) storage: Arc<StorageCalls>,
    /// Of what it does.
    pub(crate) work: Arc<Work>,
}

impl OfWorker {
    /// The metrics of a worker that has done nothing yet.
    pub(crate) fn new() -> Result<Self> {
        let registry = Registry::new();
        let (storage, work) = (Arc::new(StorageCalls::new(&registry)?), Arc::new(Work::new(&registry)?));
        Ok(Self { registry, storage, work })
    }

    /// The page of these, and of what the worker and its front door count themselves.
    pub(crate) fn page(self, standing: Arc<Standing>, storage: &str, front: &Front) -> Result<Page> {
        self.registry.register(Box::new(Sampled::of_worker(standing, storage.into(), front.clone())?))?;
        Ok(Page::new(self.registry))
    }
}
