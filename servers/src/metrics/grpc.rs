//! gRPC's calls, by method and code.

use std::sync::Arc;
use std::time::Instant;

use prometheus::{IntCounter, IntGauge, Opts, Registry, Result};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::Code;

use crate::grpc::api;
use crate::metrics::table::Table;

/// The codes in the order of their numbers.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The calls of a process.
#[derive(Debug)]
pub(crate) struct Calls {
    table: Table,
    in_flight: IntGauge,
    unknown: IntCounter,
    /// In order, which is that of the table's rows; behind them there is the rest.
    methods: Vec<String>,
}

impl Calls {
    /// The calls of every service of this port.
    pub(crate) fn new(registry: &Registry, in_flight: IntGauge) -> Result<Self> {
        let mut methods: Vec<_> =
            [api::DESCRIPTOR, tonic_health::pb::FILE_DESCRIPTOR_SET].into_iter().flat_map(methods).collect();
        methods.sort_unstable();
        let rows = methods.iter().cloned().chain(["other".to_owned()]).map(|method| vec![method]);
        let about = (
            "deltadb_grpc_call_duration_seconds",
            "Calls of gRPC until their answer began, by method and code; none: nobody waited for it any more.",
        );
        let table = Table::new(registry, about, &["method", "code"], rows, &CODES)?;
        let unknown = IntCounter::with_opts(Opts::new(
            "deltadb_grpc_unknown_outcomes_total",
            "Answers of gRPC that say that it is not known whether a write happened.",
        ))?;
        registry.register(Box::new(unknown.clone()))?;
        Ok(Self { table, in_flight, unknown, methods })
    }

    /// How many are being served.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.get().try_into().unwrap_or_default()
    }

    /// A call has come.
    pub(crate) fn begin(self: &Arc<Self>, path: &str) -> InFlight {
        self.in_flight.inc();
        let row = self.methods.binary_search_by(|method| method.as_str().cmp(path)).unwrap_or(self.methods.len());
        InFlight { calls: self.clone(), row, started: Instant::now(), answered: false }
    }
}

/// A call, until its answer begins or it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    calls: Arc<Calls>,
    row: usize,
    started: Instant,
    answered: bool,
}

impl InFlight {
    /// The method that is called.
    pub(crate) fn method(&self) -> &str {
        self.calls.methods.get(self.row).map_or("other", String::as_str)
    }

    /// The answer has begun.
    pub(crate) fn answered(mut self, code: Code) {
        self.answered = true;
        self.calls.table.observe(self.row, code as usize, self.started);
        if code == Code::Unknown {
            self.calls.unknown.inc();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.calls.in_flight.dec();
        if !self.answered {
            self.calls.table.observe(self.row, self.calls.table.abandoned(), self.started);
        }
    }
}

/// Every method of a descriptor set, as the path of its calls.
fn methods(descriptor: &[u8]) -> Vec<String> {
    let set = FileDescriptorSet::decode(descriptor).unwrap_or_default();
    let of_file = |file: prost_types::FileDescriptorProto| {
        let package = file.package().to_owned();
        let of_service = move |service: prost_types::ServiceDescriptorProto| {
            let service_name = format!("/{package}.{}", service.name());
            service.method.into_iter().map(move |method| format!("{service_name}/{}", method.name()))
        };
        file.service.into_iter().flat_map(of_service)
    };
    set.file.into_iter().flat_map(of_file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_where_its_number_says() {
        let place = |code: Code| CODES[code as usize];
        assert_eq!(
            (place(Code::Unknown), place(Code::Aborted), place(Code::Unauthenticated)),
            ("UNKNOWN", "ABORTED", "UNAUTHENTICATED")
        );
    }

    #[test]
    fn the_methods_of_every_service_are_known() {
        let all: Vec<_> =
            [api::DESCRIPTOR, tonic_health::pb::FILE_DESCRIPTOR_SET].into_iter().flat_map(methods).collect();
        for method in ["/delta.v1.Entities/Get", "/deltadb.MainWorker/Process", "/grpc.health.v1.Health/Check"] {
            assert!(all.iter().any(|known| known == method), "{method}: {all:?}");
        }
    }
}
