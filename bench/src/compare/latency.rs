//! One connection: what a request costs beyond HTTP, and a write beyond HTTP and the disk.

use anyhow::Result;

use crate::compare::get::{self, CACHED};
use crate::compare::{Bench, DOCUMENT_BYTES, Side, alternate, p50_micros};
use crate::disk;
use crate::process::Server;
use crate::stats::{median, micros};
use crate::table::{Row, Target};

/// Appends in a round.
const FLUSHES: usize = 500;
/// A latency depends on which processors the two threads happen to run on, so turns are short and many.
const TURNS_A_ROUND: usize = 6;

/// At 1 connection: GET against the bare handler, PUT against the bare handler plus a flush.
pub(crate) fn compare(bench: &Bench) -> Result<Vec<Row>> {
    let directory = bench.fresh("latency")?;
    let ours = Server::deltadb(&bench.deltadb, &directory, None)?;
    let bare = Server::bare(&directory, DOCUMENT_BYTES)?;
    get::fill(&ours)?;
    let pace = bench.pace.split(TURNS_A_ROUND);
    let [our_gets, bare_gets] = alternate(pace, [&mut Side::get(&ours, CACHED)?, &mut Side::get(&bare, CACHED)?], 1)?;
    let (mut put, mut bare_put) = (Side::put(&ours, CACHED)?, Side::put(&bare, CACHED)?);
    let (mut our_puts, mut bare_puts, mut flushes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..pace.rounds {
        our_puts.push(put.turn(1, pace.seconds)?);
        flushes.push(micros(disk::flush_p50(&directory, FLUSHES)?));
        bare_puts.push(bare_put.turn(1, pace.seconds)?);
    }
    let (flush, bare_put) = (median(flushes), p50_micros(&bare_puts));
    println!("  fdatasync p50 {flush:.1} µs, bare PUT p50 {bare_put:.1} µs");
    Ok(vec![
        Row::ratio(
            "1 connection: cached GET, p50",
            (p50_micros(&our_gets), "µs"),
            (p50_micros(&bare_gets), "µs bare"),
            Target::AtMost(1.5),
        ),
        Row::ratio(
            "1 connection: durable PUT, p50",
            (p50_micros(&our_puts), "µs"),
            (flush + bare_put, "µs bare + fdatasync"),
            Target::AtMost(1.3),
        ),
    ])
}
