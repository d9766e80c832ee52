//! Reads from memory, against HTTP alone.

use anyhow::Result;

use crate::compare::{Bench, CONNECTIONS, DOCUMENT_BYTES, Side, alternate, per_second};
use crate::load::Plan;
use crate::process::Server;
use crate::request::Keys;
use crate::table::{Row, Target};

/// Entities that are read: all of them fit into the cache.
pub(super) const CACHED: u64 = 10_000;

/// 64 connections: cached GETs, against a bare handler that returns the same bytes.
pub(crate) fn compare(bench: &Bench) -> Result<Vec<Row>> {
    let directory = bench.fresh("get")?;
    let ours = Server::deltadb(&bench.deltadb, &directory, None)?;
    let bare = Server::bare(&directory, DOCUMENT_BYTES)?;
    fill(&ours)?;
    let (mut ours, mut bare) = (Side::get(&ours, CACHED)?, Side::get(&bare, CACHED)?);
    let [ours, bare] = alternate(bench.pace, [&mut ours, &mut bare], CONNECTIONS)?;
    let (ours, bare) = ((per_second(&ours), "GET/s"), (per_second(&bare), "GET/s bare"));
    Ok(vec![Row::ratio("64 connections, 300 B: cached GET", ours, bare, Target::AtLeast(0.85))])
}

/// Writes the entities that are read.
pub(super) fn fill(server: &Server) -> Result<()> {
    const A_REQUEST: usize = 100;
    let requests = CACHED / A_REQUEST as u64;
    Side::put_maps(server, Keys::InOrder(CACHED), A_REQUEST)?.run(Plan::of_requests(1, requests))?;
    Ok(())
}
