//! gRPC, against tonic alone.

use anyhow::Result;

use crate::compare::{Bench, CONNECTIONS, DOCUMENT_BYTES, Side, alternate, get, per_second};
use crate::grpc::Method;
use crate::process::Server;
use crate::table::{Row, Target};

/// 64 calls in flight: cached GETs, against a bare service that returns the same bytes.
pub(crate) fn compare(bench: &Bench) -> Result<Vec<Row>> {
    let directory = bench.fresh("grpc")?;
    let ours = Server::deltadb(&bench.deltadb, &directory, None)?;
    let bare = Server::bare_grpc(&directory, DOCUMENT_BYTES)?;
    get::fill(&ours)?;
    let (mut ours, mut bare) =
        (Side::grpc(&ours, Method::Get, get::CACHED)?, Side::grpc(&bare, Method::Get, get::CACHED)?);
    let [ours, bare] = alternate(bench.pace, [&mut ours, &mut bare], CONNECTIONS)?;
    let (ours, bare) = ((per_second(&ours), "GET/s"), (per_second(&bare), "GET/s bare"));
    Ok(vec![Row::ratio("64 calls on 8 connections, 300 B: cached gRPC GET", ours, bare, Target::AtLeast(0.8))])
}
