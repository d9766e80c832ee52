//! The process itself, under the names that every client library of Prometheus gives these.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use prometheus::proto::{MetricFamily, MetricType};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use crate::metrics::sampled::{family, gauge};

/// What the kernel says about this process (`man 5 proc`); nothing where it does not.
pub(super) fn families() -> Vec<MetricFamily> {
    let Some(stat) = Stat::read() else { return Vec::new() };
    let cpu = Duration::from_secs_f64(seconds(stat.ticks));
    let timed = |name, help, kind, seconds: f64| family(name, help, kind, vec![(Vec::new(), seconds)]);
    let open = fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
    let most = getrlimit(Resource::Nofile).current.unwrap_or_default();
    vec![
        timed("process_cpu_seconds_total", "Time on processors.", MetricType::COUNTER, cpu.as_secs_f64()),
        gauge("process_resident_memory_bytes", "Memory that is resident.", stat.resident_pages * page_size() as u64),
        gauge("process_virtual_memory_bytes", "Memory that is mapped.", stat.virtual_bytes),
        gauge("process_open_fds", "File descriptors that are open.", open),
        gauge("process_max_fds", "File descriptors that may be open.", most),
        gauge("process_threads", "Threads.", stat.threads),
        timed("process_start_time_seconds", "When it was started, since 1970.", MetricType::GAUGE, started(&stat)),
    ]
}

/// What counts of `/proc/self/stat`.
struct Stat {
    ticks: u64,
    threads: u64,
    started_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the program's name in brackets, which may hold anything; the third is the first here.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            ticks: field(14)? + field(15)?,
            threads: field(20)?,
            started_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the process was started; the same every time, though the clock may be set.
fn started(stat: &Stat) -> f64 {
    static STARTED: OnceLock<f64> = OnceLock::new();
    *STARTED.get_or_init(|| {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let booted = text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
        booted.unwrap_or_default() + seconds(stat.started_ticks)
    })
}

#[expect(clippy::cast_precision_loss, reason = "times that are far below 2^53 ticks")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / clock_ticks_per_second().max(1) as f64
}
