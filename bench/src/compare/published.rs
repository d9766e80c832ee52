//! The table that was published of the product before this one, measured again on this one.
//!
//! Its figures are from another machine and say what users were used to; they are no comparison side by side.

use anyhow::Result;

use crate::compare::get::{self, CACHED};
use crate::compare::{Bench, Side, per_second};
use crate::grpc::Method;
use crate::process::Server;
use crate::request::Keys;
use crate::table::{Row, Target};

/// Clients at a time in the rows with many.
const MANY: usize = 32;
/// Entities of a bulk write.
const BULK: usize = 1_000;
/// How often a row's operation was done in a second, as published.
const PUT: f64 = 1_000.0;
const GET: f64 = 1_000.0;
const PUT_THEN_GET: f64 = 520.0;
const MANY_PUTS: f64 = 910.0;
const MANY_GETS: f64 = 970.0;
const BULK_WRITE: f64 = 1_000.0;
const GRPC_PUT: f64 = 1_700.0;
const GRPC_GET: f64 = 3_500.0;

/// Every row, on one server.
pub(crate) fn compare(bench: &Bench) -> Result<Vec<Row>> {
    let directory = bench.fresh("published")?;
    let server = Server::deltadb(&bench.deltadb, &directory, None)?;
    get::fill(&server)?;
    let rows = [
        ("1 connection: PUT", Side::put(&server, CACHED)?, 1, 1.0, PUT),
        ("1 connection: cached GET", Side::get(&server, CACHED)?, 1, 1.0, GET),
        ("1 connection: PUT, then GET of it", Side::put_then_get(&server, CACHED)?, 1, 0.5, PUT_THEN_GET),
        ("1 connection: gRPC PUT", Side::grpc(&server, Method::Put, CACHED)?, 1, 1.0, GRPC_PUT),
        ("1 connection: cached gRPC GET", Side::grpc(&server, Method::Get, CACHED)?, 1, 1.0, GRPC_GET),
        ("32 connections: PUT", Side::put(&server, CACHED)?, MANY, 1.0, MANY_PUTS),
        ("32 connections: cached GET", Side::get(&server, CACHED)?, MANY, 1.0, MANY_GETS),
        (
            "1 connection: map PUT of 1,000",
            Side::put_maps(&server, Keys::InOrder(CACHED), BULK)?,
            1,
            BULK as f64,
            BULK_WRITE,
        ),
    ];
    let measure = |(what, side, connections, operations, published)| {
        measured(bench, what, side, (connections, operations), published)
    };
    rows.into_iter().map(measure).collect()
}

/// One row; a request counts as so many operations.
fn measured(
    bench: &Bench,
    what: &str,
    mut side: Side<'_>,
    (connections, operations): (usize, f64),
    published: f64,
) -> Result<Row> {
    let turns = (0..bench.pace.rounds).map(|_| side.turn(connections, bench.pace.seconds));
    let ours = per_second(&turns.collect::<Result<Vec<_>>>()?) * operations;
    Ok(Row::ratio(what, (ours, "op/s"), (published, "op/s published"), Target::None))
}
