//! A million entities: how soon a killed server answers again, and what memory it holds.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::compare::{Bench, Side, settle};
use crate::load::Plan;
use crate::process::Server;
use crate::request::Keys;
use crate::stats::{micros, percentiles};
use crate::table::{Row, Target};

/// Documents in a map PUT of the filling.
const A_REQUEST: usize = 1_000;
/// Documents that are read after the restart, so that the cache holds something.
const READS: u64 = 100_000;
/// Keys of a page.
const A_PAGE: usize = 1_000;
/// The first page.
const PAGE: &str = "/api/databases/bench/keys?limit=1000";
/// Pages that are read.
const PAGES: u64 = 200;
/// How long a page may take on a warm server.
const PAGE_MILLIS_MAX: f64 = 10.0;
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

    rows.extend(pages(&server, entities)?);

    let read = Side::get(&server, entities)?.run(Plan::of_requests(64, READS))?;
    println!("  reads, mostly not cached: {read}");
    settle(&server)?;
    rows.push(resident(&server, &format!("{entities} entities: memory after {READS} reads"))?);
    drop(server);

    let mut server = Server::deltadb(&bench.deltadb, &directory, None)?;
    server.until("it is ready", |server| matches!(server.get("/health/ready"), Ok((200, _))))?;
    let listed = page(&server, PAGE)?.items;
    ensure!(listed as u64 == entities.min(A_PAGE as u64), "the first page after the restart has {listed} keys");
    let first_page = server.until("it has answered", |_| true)?;
    rows.push(Row::figure(
        format!("{entities} entities: kill -9 to the first page of {A_PAGE} keys"),
        (first_page.as_secs_f64(), "s"),
        Target::AtMost(3.0),
    ));
    Ok(rows)
}

/// A page of keys.
struct Page {
    items: usize,
    next_cursor: Option<String>,
}

fn page(server: &Server, target: &str) -> Result<Page> {
    let (status, body) = server.get(target)?;
    ensure!(status == 200, "keys are not listed: {status} {body}");
    let page: serde_json::Value = serde_json::from_str(&body)?;
    let items = page.get("items").and_then(serde_json::Value::as_array).context("a page without items")?.len();
    let next_cursor = page.get("next_cursor").and_then(serde_json::Value::as_str).map(str::to_owned);
    Ok(Page { items, next_cursor })
}

/// Pages of keys on a warm server: the first one again and again, and one after the other by their cursors.
fn pages(server: &Server, entities: u64) -> Result<[Row; 2]> {
    let what = format!("{entities} entities: page of {A_PAGE} keys");
    let first = Side::any(server, PAGE)?.run(Plan::of_requests(1, PAGES))?;
    println!("  first page of {A_PAGE} keys: {first}");
    let (mut target, mut nanos, mut keys) = (PAGE.to_owned(), Vec::new(), 0);
    for _ in 0..PAGES {
        let started = Instant::now();
        let page = page(server, &target)?;
        nanos.push(u32::try_from(started.elapsed().as_nanos()).unwrap_or(u32::MAX));
        keys += page.items;
        // A cursor is base64url, which stands in a query as it is.
        let Some(cursor) = page.next_cursor else { break };
        target = format!("{PAGE}&cursor={cursor}");
    }
    ensure!(keys as u64 == entities.min(PAGES * A_PAGE as u64), "the pages have {keys} keys");
    let [p50, p99] = percentiles(&mut nanos, [50.0, 99.0]).map(|latency| micros(latency) / 1e3);
    println!("  pages by their cursors, with their parsing here: p50 {p50:.2} ms, p99 {p99:.2} ms");
    let row = |at: &str, latency: Duration| {
        Row::figure(format!("{what}, {at}"), (micros(latency) / 1e3, "ms"), Target::AtMost(PAGE_MILLIS_MAX))
    };
    Ok([row("p50", first.p50), row("p99", first.p99)])
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
