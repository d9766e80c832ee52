//! Sealing and opening one document, without anything around it.

use std::time::Instant;

use anyhow::Result;
use delta_core::conformance::{id, meta, sealer};
use delta_core::document::{DEPTH_MAX, Document};

use crate::compare::Bench;
use crate::request::document;
use crate::stats::median;
use crate::table::{Row, Target};

/// Documents sealed and opened in a round.
const A_ROUND: u32 = 50_000;
/// The document, in bytes.
const SEALED_BYTES: usize = 1024;

/// Seal + open of 1 KiB.
pub(crate) fn compare(bench: &Bench) -> Result<Vec<Row>> {
    let (sealer, id, meta) = (sealer(), id("bench", "entity"), meta(1));
    let address = sealer.names().entity(&id);
    let document = Document::parse(document(SEALED_BYTES).as_bytes(), DEPTH_MAX)?;
    let (mut seals, mut opens) = (Vec::new(), Vec::new());
    for _ in 0..bench.pace.rounds.max(3) {
        let started = Instant::now();
        for _ in 0..A_ROUND {
            std::hint::black_box(sealer.seal(&id, &address, std::hint::black_box(&document), &meta)?);
        }
        seals.push(started.elapsed().as_secs_f64() * 1e6 / f64::from(A_ROUND));
        let sealed = sealer.seal(&id, &address, &document, &meta)?;
        let started = Instant::now();
        for _ in 0..A_ROUND {
            std::hint::black_box(sealer.open(&id, &address, std::hint::black_box(sealed.bytes()))?);
        }
        opens.push(started.elapsed().as_secs_f64() * 1e6 / f64::from(A_ROUND));
    }
    let (seal, open) = (median(seals), median(opens));
    println!("seal: {seal:.2} µs, open: {open:.2} µs");
    Ok(vec![Row::figure("seal + open of 1 KiB", (seal + open, "µs"), Target::AtMost(6.0))])
}
