//! Latency histograms by what was asked for and what became of it, found without a search by label.

use std::sync::OnceLock;
use std::time::Instant;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntGaugeVec, Opts, Registry, Result};

use crate::metrics::{ABANDONED, BUCKETS};

/// Histograms: a row for each thing that can be asked for, a column for each outcome. A series exists once it was needed.
#[derive(Debug)]
pub(super) struct Table {
    family: HistogramVec,
    rows: Vec<Row>,
    /// The last one is what nobody waited for.
    outcomes: Vec<&'static str>,
}

#[derive(Debug)]
struct Row {
    labels: Vec<String>,
    cells: Vec<OnceLock<Histogram>>,
}

impl Table {
    /// A table with the values of all labels but the last for each row, and those of the last label.
    pub(super) fn new(
        registry: &Registry,
        (name, help): (&str, &str),
        labels: &[&str],
        rows: impl IntoIterator<Item = Vec<String>>,
        outcomes: &[&'static str],
    ) -> Result<Self> {
        let family = HistogramVec::new(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()), labels)?;
        registry.register(Box::new(family.clone()))?;
        let outcomes: Vec<_> = outcomes.iter().copied().chain([ABANDONED]).collect();
        let cells = || outcomes.iter().map(|_| OnceLock::new()).collect();
        let rows = rows.into_iter().map(|labels| Row { labels, cells: cells() }).collect();
        Ok(Self { family, rows, outcomes })
    }

    /// Takes note of something that took so long.
    pub(super) fn observe(&self, row: usize, outcome: usize, started: Instant) {
        let (Some(row), Some(outcome_name)) = (self.rows.get(row), self.outcomes.get(outcome)) else { return };
        let Some(cell) = row.cells.get(outcome) else { return };
        let new = || {
            let values: Vec<&str> = row.labels.iter().map(String::as_str).chain([*outcome_name]).collect();
            self.family.with_label_values(&values)
        };
        cell.get_or_init(new).observe(started.elapsed().as_secs_f64());
    }

    /// The outcome of what nobody waited for.
    pub(super) fn abandoned(&self) -> usize {
        self.outcomes.len().saturating_sub(1)
    }
}

/// A gauge by one label.
pub(super) fn gauges(registry: &Registry, (name, help): (&str, &str), label: &str) -> Result<IntGaugeVec> {
    let family = IntGaugeVec::new(Opts::new(name, help), &[label])?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}
