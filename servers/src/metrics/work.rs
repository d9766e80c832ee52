//! Tasks of workers: at a main from the moment that one is sent to its answer, at a worker while it is being done. Both
//! have the same names; `role` of `deltadb_build_info` says which it is.

use std::time::Instant;

use delta_core::ErrorKind;
use prometheus::{IntCounter, IntGauge, Opts, Registry, Result};

use crate::cluster::NOT_BEGUN;
use crate::grpc::api::delta::v1::answer::Outcome;
use crate::grpc::api::delta::v1::many_kept;
use crate::grpc::api::delta::v1::many_kept::item::Outcome as Each;
use crate::grpc::api::delta::v1::task::Work as Asked;
use crate::metrics::table::Table;

const KINDS: [&str; 9] = ["get", "get_many", "put", "put_many", "check", "merge", "operations", "delete", "other"];
/// Kinds of errors as they are counted, and what is no error and no answer.
const OUTCOMES: [&str; 16] = [
    "ok",
    "invalid",
    "unauthorized",
    "forbidden",
    "not_found",
    "conflict",
    "precondition_failed",
    "too_large",
    "throttled",
    "unavailable",
    "outcome_unknown",
    "damaged",
    "internal",
    "not_begun",
    "unsent",
    "lost",
];

/// What a task asks for, in a word.
pub(crate) fn kind(asked: Option<&Asked>) -> &'static str {
    KINDS.get(row(asked)).copied().unwrap_or("other")
}

fn row(asked: Option<&Asked>) -> usize {
    match asked {
        Some(Asked::Get(_)) => 0,
        Some(Asked::GetMany(_)) => 1,
        Some(Asked::Put(_)) => 2,
        Some(Asked::PutMany(_)) => 3,
        Some(Asked::Check(_)) => 4,
        Some(Asked::Merge(_)) => 5,
        Some(Asked::Operations(_)) => 6,
        Some(Asked::Delete(_)) => 7,
        None => 8,
    }
}

/// What became of a task, in a word.
pub(crate) fn outcome(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Fault(fault) if fault.code == NOT_BEGUN => "not_begun",
        Outcome::Fault(fault) => OUTCOMES.into_iter().find(|known| *known == fault.kind).unwrap_or("internal"),
        Outcome::ManyKept(many) if many.items.iter().any(is_unknown) => "outcome_unknown",
        _ => "ok",
    }
}

fn is_unknown(item: &many_kept::Item) -> bool {
    matches!(&item.outcome, Some(Each::Fault(fault)) if fault.kind == ErrorKind::OutcomeUnknown.code())
}

/// The tasks of a process.
#[derive(Debug)]
pub(crate) struct Work {
    table: Table,
    in_flight: IntGauge,
    unknown: IntCounter,
}

impl Work {
    /// No tasks yet.
    pub(crate) fn new(registry: &Registry) -> Result<Self> {
        let about = (
            "deltadb_work_duration_seconds",
            "Tasks of workers by what became of them; none: nobody waited for it any more.",
        );
        let rows = KINDS.iter().map(|kind| vec![(*kind).to_owned()]);
        let table = Table::new(registry, about, &["kind", "outcome"], rows, &OUTCOMES)?;
        let in_flight = IntGauge::new("deltadb_work_in_flight", "Tasks that have no answer yet.")?;
        let unknown = IntCounter::with_opts(Opts::new(
            "deltadb_work_unknown_outcomes_total",
            "Writes of which a worker does not know whether they happened, or whose worker was lost over them.",
        ))?;
        registry.register(Box::new(in_flight.clone()))?;
        registry.register(Box::new(unknown.clone()))?;
        Ok(Self { table, in_flight, unknown })
    }

    /// A task has come.
    pub(crate) fn begin(&self, asked: Option<&Asked>) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight { work: self, row: row(asked), started: Instant::now(), outcome: None }
    }
}

/// A task, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight<'a> {
    work: &'a Work,
    row: usize,
    started: Instant,
    outcome: Option<&'static str>,
}

impl InFlight<'_> {
    /// What became of it.
    pub(crate) fn ended(mut self, outcome: &'static str) {
        self.outcome = Some(outcome);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.work.in_flight.dec();
        let writes = [2, 3, 5, 6, 7].contains(&self.row);
        if writes && self.outcome.is_none_or(|outcome| ["outcome_unknown", "lost"].contains(&outcome)) {
            self.work.unknown.inc();
        }
        let column = self.outcome.and_then(|outcome| OUTCOMES.iter().position(|known| *known == outcome));
        self.work.table.observe(self.row, column.unwrap_or_else(|| self.work.table.abandoned()), self.started);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_a_name_here() {
        for kind in crate::cluster::wire::KINDS {
            assert!(OUTCOMES.contains(&kind.code()), "{kind:?}");
        }
    }
}
