//! What is counted elsewhere, in core and at the front door, and read when somebody scrapes.

use std::sync::Arc;

use delta_core::engine::EngineStats;
use prometheus::Result;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use tokio::runtime::{Handle, RuntimeMetrics};

use crate::app::App;
use crate::cluster::main::{Listed, WorkerStatus};
use crate::cluster::worker::{Standing, Stood};
use crate::listen::Front;
use crate::metrics::process;

/// What only one kind of process has, read now.
type Own = Box<dyn Fn() -> Vec<MetricFamily> + Send + Sync>;

/// Reads a process and its front door, and what is its own.
pub(super) struct Sampled {
    storage: String,
    role: &'static str,
    own: Own,
    front: Front,
    runtime: RuntimeMetrics,
    desc: Desc,
}

impl Sampled {
    /// Reads a server; called in the runtime that is read too.
    pub(super) fn of_app(app: Arc<App>, front: Front) -> Result<Self> {
        let (storage, role) = (app.storage.clone(), app.role);
        let own = move || {
            let workers = app.cluster.as_ref().map_or_else(Vec::new, |cluster| workers(&cluster.roster().list()));
            [engine(&app.engine.stats()), workers].concat()
        };
        Self::new(storage, role, Box::new(own), front)
    }

    /// Reads a worker; called in the runtime that is read too.
    pub(super) fn of_worker(standing: Arc<Standing>, storage: String, front: Front) -> Result<Self> {
        let own = move || {
            let Stood { stats, streams, streams_opened, queued } = standing.look();
            let about = "Streams to a main that were opened.";
            let mut families = vec![
                gauge(
                    "deltadb_worker_streams",
                    "Streams to a main that are open: 1 at work, 0 without a main.",
                    streams,
                ),
                counter("deltadb_worker_streams_opened_total", about, streams_opened),
                gauge("deltadb_work_queued", "Answers that wait for the connection.", queued),
            ];
            families.extend(engine(&stats));
            families
        };
        Self::new(storage, "worker", Box::new(own), front)
    }

    fn new(storage: String, role: &'static str, own: Own, front: Front) -> Result<Self> {
        let about = "The version that runs, and what it runs with.".to_owned();
        let desc = Desc::new("deltadb_build_info".into(), about, Vec::new(), Default::default())?;
        Ok(Self { storage, role, own, front, runtime: Handle::current().metrics(), desc })
    }
}

impl Collector for Sampled {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let build = [("version", env!("CARGO_PKG_VERSION")), ("storage", &self.storage), ("role", self.role)];
        let mut families = vec![family(
            "deltadb_build_info",
            &self.desc.help,
            MetricType::GAUGE,
            vec![(build.map(|(name, value)| label(name, value)).into(), 1.0)],
        )];
        families.extend((self.own)());
        let connections = self.front.connections();
        families.push(gauge("deltadb_connections", "Connections of all ports.", connections.open));
        let about = "Connections that were let in.";
        families.push(counter("deltadb_connections_accepted_total", about, connections.accepted));
        let refused = [("all", connections.refused), ("address", connections.refused_for_address)];
        let about = "Connections that were turned away: there were too many in all, or of their address.";
        families.push(counters("deltadb_connections_refused_total", about, "limit", &refused));
        let tasks = self.runtime.num_alive_tasks() as u64;
        families.push(gauge("deltadb_tasks", "Tasks of the runtime that are alive.", tasks));
        let queued = self.runtime.global_queue_depth() as u64;
        families.push(gauge("deltadb_tasks_queued", "Tasks that wait for a thread of the runtime.", queued));
        families.extend(process::families());
        families
    }
}

/// The workers of a main.
fn workers(all: &[Listed]) -> Vec<MetricFamily> {
    let statuses = [
        ("available", WorkerStatus::Available),
        ("draining", WorkerStatus::Draining),
        ("unresponsive", WorkerStatus::Unresponsive),
    ];
    let of = |status| all.iter().filter(|worker| worker.status == status).count() as u64;
    let counted = statuses.map(|(name, status)| (name, of(status)));
    let samples = counted.iter().map(|(name, count)| (vec![label("status", name)], number(*count))).collect();
    let streams = counted.iter().filter(|(name, _)| *name != "unresponsive").map(|(_, count)| count).sum();
    vec![
        family("deltadb_workers", "Workers, as GET /admin/workers lists them.", MetricType::GAUGE, samples),
        gauge("deltadb_worker_streams", "Streams of workers that are open.", streams),
        gauge(
            "deltadb_work_queued",
            "Tasks and other words that wait for the connection of a worker.",
            all.iter().map(|worker| worker.queued).sum(),
        ),
    ]
}

fn engine(stats: &EngineStats) -> Vec<MetricFamily> {
    let EngineStats { cache, index, seal, .. } = stats;
    let sealed = [("seal", seal.sealed), ("open", seal.opened)];
    let failed = [("seal", seal.seal_failures), ("open", seal.open_failures)];
    vec![
        counter("deltadb_cache_hits_total", "Reads that were served from memory.", cache.hits),
        counter("deltadb_cache_misses_total", "Reads that were not.", cache.misses),
        counter("deltadb_cache_evictions_total", "Documents that made room for others.", cache.evictions),
        gauge("deltadb_cache_entries", "Documents in memory.", cache.entries),
        gauge("deltadb_cache_bytes", "Bytes of documents in memory, as --cache-bytes counts them.", cache.bytes),
        gauge("deltadb_key_index_groups", "Groups of databases whose keys are in memory.", index.groups),
        gauge("deltadb_key_index_keys", "Keys in memory, for listings.", index.keys),
        gauge("deltadb_key_index_bytes", "Bytes of keys in memory, as --key-index-bytes counts them.", index.bytes),
        counter("deltadb_key_index_builds_total", "Groups whose keys were read from the storage.", index.builds),
        counters("deltadb_seal_operations_total", "Objects that were sealed or opened.", "operation", &sealed),
        counters("deltadb_seal_failures_total", "Objects that could not be.", "operation", &failed),
        gauge("deltadb_drops_running", "Databases that are being dropped.", stats.drops_running),
        counter("deltadb_drops_total", "Databases that were dropped.", stats.drops_finished),
    ]
}

/// A gauge without labels.
pub(super) fn gauge(name: &str, help: &str, value: u64) -> MetricFamily {
    family(name, help, MetricType::GAUGE, vec![(Vec::new(), number(value))])
}

/// A counter without labels.
fn counter(name: &str, help: &str, value: u64) -> MetricFamily {
    family(name, help, MetricType::COUNTER, vec![(Vec::new(), number(value))])
}

/// A counter by one label.
fn counters(name: &str, help: &str, by: &str, values: &[(&str, u64)]) -> MetricFamily {
    let samples = values.iter().map(|(of, value)| (vec![label(by, of)], number(*value)));
    family(name, help, MetricType::COUNTER, samples.collect())
}

/// A family of gauges or counters.
pub(super) fn family(name: &str, help: &str, kind: MetricType, samples: Vec<(Vec<LabelPair>, f64)>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.into());
    family.set_help(help.into());
    family.set_field_type(kind);
    let metric = |(labels, value): (Vec<LabelPair>, f64)| {
        let mut metric = Metric::from_label(labels);
        if kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        metric
    };
    family.set_metric(samples.into_iter().map(metric).collect());
    family
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.into());
    label.set_value(value.into());
    label
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers, and these stay far below 2^53")]
fn number(value: u64) -> f64 {
    value as f64
}
