//! REST's requests, by route and status.

use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode, Uri};
use prometheus::{IntCounter, IntGauge, Opts, Registry, Result};
use serde_json::Value;

use crate::metrics::table::Table;

/// Every status that a series is kept for; others share one.
const STATUSES: [u16; 19] =
    [200, 201, 204, 304, 400, 401, 403, 404, 405, 408, 409, 412, 413, 414, 415, 429, 431, 500, 503];
const STATUS_NAMES: [&str; 20] = [
    "200", "201", "204", "304", "400", "401", "403", "404", "405", "408", "409", "412", "413", "414", "415", "429",
    "431", "500", "503", "other",
];

/// What a request turned out to be for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Route {
    /// An operation of the OpenAPI document, by its id.
    Operation(&'static str),
    /// A page for people.
    Page,
    /// Nothing that there is.
    Other,
}

/// The requests of a process.
#[derive(Debug)]
pub(crate) struct Requests {
    table: Table,
    in_flight: IntGauge,
    unknown: IntCounter,
    /// In the order of their ids, which is that of the table's rows; behind them there are a page and the rest.
    operations: Vec<Operation>,
}

#[derive(Debug)]
struct Operation {
    id: String,
    method: String,
    path: String,
}

impl Requests {
    /// The requests for the operations of this document.
    pub(crate) fn new(registry: &Registry, in_flight: IntGauge, document: &str) -> Result<Self> {
        let mut operations = operations(document);
        operations.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let rows = operations.iter().map(|operation| vec![operation.method.clone(), operation.path.clone()]);
        let others = [["GET", "page"], ["other", "other"]].map(|row| row.map(str::to_owned).to_vec());
        let about = (
            "deltadb_http_request_duration_seconds",
            "Requests of REST until their answer began, by route and status; none: nobody waited for it any more.",
        );
        let table = Table::new(registry, about, &["method", "route", "status"], rows.chain(others), &STATUS_NAMES)?;
        let unknown = IntCounter::with_opts(Opts::new(
            "deltadb_http_unknown_outcomes_total",
            "Answers of REST that say that it is not known whether a write happened.",
        ))?;
        registry.register(Box::new(unknown.clone()))?;
        Ok(Self { table, in_flight, unknown, operations })
    }

    /// How many are being served.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.get().try_into().unwrap_or_default()
    }

    /// A request has come.
    pub(crate) fn begin(self: &Arc<Self>, method: &Method, uri: &Uri) -> InFlight {
        self.in_flight.inc();
        InFlight {
            requests: self.clone(),
            method: method.clone(),
            uri: uri.clone(),
            started: Instant::now(),
            answered: false,
        }
    }

    fn row(&self, route: Route) -> usize {
        let page = self.operations.len();
        match route {
            Route::Operation(id) => {
                self.operations.binary_search_by(|operation| operation.id.as_str().cmp(id)).unwrap_or(page + 1)
            }
            Route::Page => page,
            Route::Other => page + 1,
        }
    }

    /// The row of a request that no route has answered.
    fn row_of(&self, method: &Method, path: &str) -> usize {
        let fits = |operation: &Operation| {
            let same = |(part, given): (&str, &str)| part == given || (part.starts_with('{') && !given.is_empty());
            operation.method == method.as_str()
                && operation.path.split('/').count() == path.split('/').count()
                && operation.path.split('/').zip(path.split('/')).all(same)
        };
        self.operations.iter().position(fits).unwrap_or_else(|| self.row(Route::Other))
    }
}

/// A request, until it is answered or dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    requests: Arc<Requests>,
    method: Method,
    uri: Uri,
    started: Instant,
    answered: bool,
}

impl InFlight {
    /// What was asked for.
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// How it is to be done.
    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    /// The template of a route's path.
    pub(crate) fn route(&self, route: Route) -> &str {
        let operation = self.requests.operations.get(self.requests.row(route));
        operation.map_or("other", |operation| &operation.path)
    }

    /// The answer is known; `unknown` if it says that the outcome is not.
    pub(crate) fn answered(mut self, route: Route, status: StatusCode, unknown: bool) {
        self.answered = true;
        let column = STATUSES.binary_search(&status.as_u16()).unwrap_or(STATUSES.len());
        self.requests.table.observe(self.requests.row(route), column, self.started);
        if unknown {
            self.requests.unknown.inc();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.requests.in_flight.dec();
        if !self.answered {
            let row = self.requests.row_of(&self.method, self.uri.path());
            self.requests.table.observe(row, self.requests.table.abandoned(), self.started);
        }
    }
}

fn operations(document: &str) -> Vec<Operation> {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
    let all = paths.flat_map(|(path, item)| item.as_object().into_iter().flatten().map(move |one| (path, one)));
    let operation = |(path, (method, operation)): (&String, (&String, &Value))| {
        let id = operation.get("operationId")?.as_str()?.to_owned();
        Some(Operation { id, method: method.to_ascii_uppercase(), path: path.clone() })
    };
    all.filter_map(operation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_name_and_its_place() {
        assert!(STATUSES.is_sorted());
        let names: Vec<String> = STATUSES.iter().map(u16::to_string).collect();
        assert_eq!(names, STATUS_NAMES[..STATUSES.len()]);
    }

    #[test]
    fn every_operation_has_a_row_of_its_own() {
        let requests = Requests::new(&Registry::new(), IntGauge::new("a", "b").unwrap(), &crate::openapi()).unwrap();
        let operations = &requests.operations;
        assert!(operations.len() > 20 && operations.is_sorted_by(|a, b| a.id < b.id), "{operations:?}");
        let row = |method: &str, path: &str| requests.row_of(&method.parse().unwrap(), path);
        let get = row("GET", "/entity/db/k%20x");
        assert_eq!(operations[get].path, "/entity/{database}/{key}");
        assert_ne!(get, row("HEAD", "/entity/db/k"));
        assert_eq!(get, requests.row(Route::Operation("getEntity")));
        for (method, path) in [("POST", "/entity/a/b"), ("GET", "/entity/a/b/c"), ("GET", "/none")] {
            assert_eq!(row(method, path), operations.len() + 1, "{method} {path}");
        }
        assert_eq!(requests.row(Route::Operation("none")), operations.len() + 1);
    }
}
