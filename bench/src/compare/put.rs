//! Durable writes, against Redis that flushes before it answers.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::compare::{Bench, CONNECTIONS, Side, Turn, per_second, redis, settle};
use crate::disk;
use crate::load::Plan;
use crate::process::Server;
use crate::request::Keys;
use crate::stats::micros;
use crate::table::{Row, Target};

/// Entities that are written, again and again.
const KEYS: u64 = 100_000;
/// Documents in a map PUT.
const MAP: usize = 100;
/// Appends that tell what a flush costs.
const FLUSHES: usize = 2_000;
const SLOW_DISK: &str = "64 connections: durable PUT, a flush takes 1 ms";

/// 64 connections: single PUTs on this disk and on a slow one, and maps of documents.
pub(crate) fn compare(bench: &Bench) -> Result<Vec<Row>> {
    let directory = bench.fresh("put")?;
    let flush = disk::flush_p50(&directory, FLUSHES)?;
    let mut rows =
        vec![Row::figure("this disk: fdatasync after a small append, p50", (micros(flush), "µs"), Target::None)];
    rows.extend(single(bench, &directory, "64 connections, 300 B: durable PUT", None)?);
    rows.push(maps(bench)?);
    let directory = bench.fresh("put-slow-flush")?;
    match disk::slow_flush_library(&directory)? {
        Some(library) => rows.extend(single(bench, &directory, SLOW_DISK, Some(&library))?),
        None => rows.push(Row::skipped(SLOW_DISK, "no C compiler (cc)")),
    }
    Ok(rows)
}

fn single(bench: &Bench, directory: &Path, what: &str, slow: Option<&Path>) -> Result<Vec<Row>> {
    let ours = Server::deltadb(&bench.deltadb, directory, slow)?;
    let Some(redis) = Server::redis(directory, slow)? else {
        return Ok(vec![Row::skipped(what, "redis-server is not installed")]);
    };
    let mut side = Side::put(&ours, KEYS)?;
    // Both hold (most of) the keys before anything is measured.
    side.run(Plan::of_requests(CONNECTIONS, KEYS))?;
    let mut rate = redis::set(&redis, CONNECTIONS, KEYS)?.per_second;
    let (mut our_turns, mut redis_turns): (Vec<Turn>, Vec<Turn>) = (Vec::new(), Vec::new());
    for _ in 0..bench.pace.rounds {
        our_turns.push(side.turn(CONNECTIONS, bench.pace.seconds)?);
        let turn = redis::set(&redis, CONNECTIONS, (rate * bench.pace.seconds) as u64)?;
        println!("  {:<10} {:>9.0}/s  p50 {:>8.1} µs", redis.name, turn.per_second, turn.p50_micros);
        settle(&redis)?;
        rate = turn.per_second;
        redis_turns.push(turn);
    }
    if slow.is_some() {
        // The stand-in must be felt by both, else the row says nothing.
        let one = side.run(Plan::of_requests(1, 50))?;
        let other = redis::set(&redis, 1, 50)?;
        ensure!(micros(one.p50) > 1_000.0 && other.per_second < 1_000.0, "the slow flush is not in effect");
    }
    let (ours, redis) = ((per_second(&our_turns), "PUT/s"), (per_second(&redis_turns), "SET/s Redis"));
    Ok(vec![Row::ratio(what, ours, redis, Target::AtLeast(1.5))])
}

fn maps(bench: &Bench) -> Result<Row> {
    let directory = bench.fresh("put-maps")?;
    let ours = Server::deltadb(&bench.deltadb, &directory, None)?;
    let mut side = Side::put_maps(&ours, Keys::Random(KEYS), MAP)?;
    let turns = (0..bench.pace.rounds).map(|_| side.turn(8, bench.pace.seconds)).collect::<Result<Vec<_>>>()?;
    let documents = per_second(&turns) * side.requests.entities() as f64;
    Ok(Row::figure("8 connections, map PUT of 100 x 300 B", (documents, "documents/s"), Target::None))
}
