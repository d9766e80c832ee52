//! A million entities: how soon a killed server answers again, and what memory it holds.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::compare::{Bench, Side, settle};
use crate::load::Plan;
use crate::process::Server;
use crate::request::Keys;
use crate::table::{Row, Target};

/// Documents in a map PUT of the filling.
const A_REQUEST: usize = 1_000;
/// Documents that are read after the restart, so that the cache holds something.
const READS: u64 = 100_000;
/// The largest part of memory that is not cache.
const RESIDENT_MEGABYTES_MAX: f64 = 250.0;

/// Fills, kills, starts again, and measures.
pub(crate) fn compare(bench: &Bench, entities: u64) -> Result<Vec<Row>> {
    let directory = bench.fresh("million")?;
    let server = Server::deltadb(&bench.deltadb, &directory, None)?;
    let mut filling = Side::put_maps(&server, Keys::InOrder(entities), A_REQUEST)?;
    let filled = filling.run(Plan::of_requests(4, entities.div_ceil(A_REQUEST as u64)))?;
    println!("  filled: {:.0} documents/s in maps of {A_REQUEST}", filled.per_second * A_REQUEST as f64);
    let mut rows = vec![resident(&server, &format!("{entities} entities: memory after filling"))?];
    // Killed in the midst of whatever it does behind its answers.
    drop(server);

    let mut server = Server::deltadb(&bench.deltadb, &directory, None)?;
    let ready = server.until("it is ready", |server| matches!(server.get("/health/ready"), Ok((200, _))))?;
    let (status, _) = server.get(&format!("/entity/bench/k{:09}", entities / 2))?;
    ensure!(status == 200, "an entity is gone after the restart: {status}");
    let first_get = server.until("it has answered", |_| true)?;
    println!("  ready after {:.3} s, first GET answered after {:.3} s", ready.as_secs_f64(), first_get.as_secs_f64());
    rows.push(Row::figure(
        format!("{entities} entities: kill -9 to the first GET"),
        (first_get.as_secs_f64(), "s"),
        Target::AtMost(3.0),
    ));
    rows.push(resident(&server, &format!("{entities} entities: memory after the restart"))?);

    let started = Instant::now();
    let (status, _) = server.get("/api/databases")?;
    ensure!(status == 200, "the databases are not listed: {status}");
    let listed = started.elapsed().as_secs_f64();
    rows.push(Row::figure(format!("{entities} entities: first /api/databases"), (listed, "s"), Target::None));

    let read = Side::get(&server, entities)?.run(Plan::of_requests(64, READS))?;
    println!("  reads, mostly not cached: {read}");
    settle(&server)?;
    rows.push(resident(&server, &format!("{entities} entities: memory after {READS} reads"))?);
    Ok(rows)
}

/// What the server holds beside its cache.
fn resident(server: &Server, what: &str) -> Result<Row> {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let (_, workers) = server.get("/admin/workers")?;
    let workers: serde_json::Value = serde_json::from_str(&workers)?;
    let cache =
        workers.pointer("/0/cache/bytes").and_then(serde_json::Value::as_u64).context("no size of the cache")?;
    let resident = server.resident_bytes()?;
    println!("  {what}: {:.0} MB, cache {:.0} MB of that", megabytes(resident), megabytes(cache));
    let beside = megabytes(resident.saturating_sub(cache));
    Ok(Row::figure(format!("{what}, cache aside"), (beside, "MB"), Target::AtMost(RESIDENT_MEGABYTES_MAX)))
}
