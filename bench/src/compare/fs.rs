//! Storage `fs`: its durable writes against a loop of the same system calls, and its checked reads against `embedded`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use delta_core::conformance;
use delta_core::plugin::{Settings, open_storage};
use delta_core::storage::{Expect, Object, ObjectName, Space, Storage, Write};

use crate::bare_fs;
use crate::compare::get::{CACHED, fill};
use crate::compare::{Bench, CONNECTIONS, Side, alternate, per_second};
use crate::process::Server;
use crate::stats::median;
use crate::table::{Row, Target};

/// How often each side has its turn: the disk is the noisiest part of a machine.
const ROUNDS: usize = 5;
/// The document of an object, in bytes.
const BODY_BYTES: usize = 300;
/// Different names that are written, again and again.
pub(crate) const NAMES: u64 = 20_000;
/// Writes in one batch.
const BATCH: u64 = 1_000;

/// Durable writes by 1, 16 and 64 writers and in batches, and cached reads that are checked.
pub(crate) fn compare(bench: &Bench) -> Result<Vec<Row>> {
    let directory = bench.fresh("fs")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let mut rows = Vec::new();
    for (writers, target) in [(1, 0.9), (16, 0.9), (64, 2.0)] {
        let what = format!("fs, {writers} writers: durable PUT of {BODY_BYTES} B");
        let mut sides = Sides::default();
        for round in 0..ROUNDS {
            let at = |side: &str| directory.join(format!("{writers}-{round}-{side}"));
            sides.note(
                runtime.block_on(ours(&at("ours"), writers, bench.pace.seconds))?,
                bare_fs::run(&at("bare"), writers, bench.pace.seconds, &image(1))?,
            );
        }
        rows.push(sides.row(what, target));
    }
    let mut sides = Sides::default();
    for round in 0..ROUNDS {
        let at = |side: &str| directory.join(format!("batch-{round}-{side}"));
        sides.note(
            runtime.block_on(batches(&at("ours"), bench.pace.seconds))?,
            bare_fs::run(&at("bare"), 1, bench.pace.seconds, &image(1))?,
        );
    }
    rows.push(sides.row(format!("fs, a batch of {BATCH}: durable PUT of {BODY_BYTES} B"), 2.0));
    rows.push(checked_get(bench)?);
    Ok(rows)
}

/// What both sides came to, in turns.
#[derive(Default)]
struct Sides {
    ours: Vec<f64>,
    bare: Vec<f64>,
}

impl Sides {
    fn note(&mut self, ours: f64, bare: f64) {
        println!("  deltadb {ours:>8.0}/s   bare loop {bare:>8.0}/s");
        self.ours.push(ours);
        self.bare.push(bare);
    }

    fn row(self, what: String, target: f64) -> Row {
        let (ours, bare) = ((median(self.ours), "PUT/s"), (median(self.bare), "PUT/s bare loop"));
        Row::ratio(what, ours, bare, Target::AtLeast(target))
    }
}

/// The name of an object, spread over directories as sealed names are.
pub(crate) fn name(number: u64) -> ObjectName {
    let shard = char::from_digit(u32::try_from(number % 32).unwrap_or_default(), 32).unwrap_or('0');
    conformance::name(Space::Entities, "0123abcd", &format!("{shard}{number:09}"))
}

fn object(seed: u64) -> Object {
    conformance::object(seed, BODY_BYTES)
}

fn image(seed: u64) -> Vec<u8> {
    object(seed).bytes().to_vec()
}

async fn open(directory: &Path) -> Result<Arc<dyn Storage>> {
    // The loop writes no sidecars.
    let path = directory.to_string_lossy();
    let settings = Settings::default().with("path", &*path).with("access", "shared").with("sidecar", "off");
    Ok(open_storage("fs", settings).await?)
}

/// Writes a second, by so many writers at the same time.
async fn ours(directory: &Path, writers: usize, seconds: f64) -> Result<f64> {
    let storage = open(directory).await?;
    let (written, object) = (Arc::new(AtomicU64::new(0)), object(1));
    let (start, end) = (Instant::now(), Instant::now() + Duration::from_secs_f64(seconds));
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (storage, written, object) = (storage.clone(), written.clone(), object.clone());
            tokio::spawn(async move {
                while Instant::now() < end {
                    let number = written.fetch_add(1, Ordering::Relaxed);
                    storage.put(&name(number % NAMES), &object, &Expect::Anything).await?;
                }
                Ok::<_, delta_core::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(written.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}

/// Writes a second, in batches one after the other.
async fn batches(directory: &Path, seconds: f64) -> Result<f64> {
    let storage = open(directory).await?;
    let (mut written, object, start) = (0, object(1), Instant::now());
    while start.elapsed().as_secs_f64() < seconds {
        let writes = (written..written + BATCH).map(|number| Write {
            name: name(number % NAMES),
            object: Some(object.clone()),
            expect: Expect::Anything,
        });
        for answer in storage.write_batch(writes.collect()).await? {
            answer?;
        }
        written += BATCH;
    }
    Ok(written as f64 / start.elapsed().as_secs_f64())
}

/// 64 connections: cached GETs of a store that other processes may write, against those of `embedded`.
fn checked_get(bench: &Bench) -> Result<Row> {
    let directory: PathBuf = bench.fresh("fs-get")?;
    let shared = Server::deltadb_on_fs(&bench.deltadb, &directory)?;
    let embedded = Server::deltadb(&bench.deltadb, &directory, None)?;
    fill(&shared)?;
    fill(&embedded)?;
    let (mut shared, mut embedded) = (Side::get(&shared, CACHED)?, Side::get(&embedded, CACHED)?);
    let [shared, embedded] = alternate(bench.pace, [&mut shared, &mut embedded], CONNECTIONS)?;
    let (shared, embedded) = ((per_second(&shared), "GET/s"), (per_second(&embedded), "GET/s embedded"));
    Ok(Row::ratio("64 connections, 300 B: cached GET on fs, checked", shared, embedded, Target::AtLeast(0.7)))
}
