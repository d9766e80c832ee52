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

use std::sync::Arc;

use anyhow::Result;
use prometheus::{Registry, TextEncoder};

pub(crate) use grpc::Calls;
pub(crate) use page::Page;
pub(crate) use requests::{Requests, Route};
pub(crate) use storage::{Measured, StorageCalls};

use crate::app::App;
use crate::listen::Front;
use sampled::Sampled;

/// Latencies in seconds: from a read out of memory to a request that takes as long as it may.
const BUCKETS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// How an outcome is called that nobody waited for: the client hung up, or a deadline passed.
const ABANDONED: &str = "none";

/// The metrics of a process.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Of REST.
    pub(crate) requests: Arc<Requests>,
    /// Of gRPC.
    pub(crate) calls: Arc<Calls>,
    /// Of the storage.
    pub(crate) storage: Arc<StorageCalls>,
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
            registry,
        })
    }

    /// The same with what an app and its front door count themselves.
    pub(crate) fn with(self, app: Arc<App>, front: &Front) -> Result<Self> {
        self.registry.register(Box::new(Sampled::new(app, front.clone())?))?;
        Ok(self)
    }

    /// Everything in the text format of Prometheus.
    fn text(&self) -> Result<String> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }
}
