//! Batches of damage to the files of a store on `fs` that is in use, each followed by a restart and a look at everything.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use super::damage::{Damaged, Entities, entity_of, objects};
use crate::random::Random;
use crate::server::Server;
use crate::start::Start;
use crate::storages::Storage;

/// What to do.
#[derive(Debug, Clone)]
pub struct Rot {
    /// The program to start as `serve`.
    pub program: PathBuf,
    /// Whether the store has sealed names; then the server and `fsck` say which entity a file is, and files are counted.
    pub sealed: bool,
    /// How many entities there are.
    pub entities: usize,
    /// How many files are damaged in all.
    pub damages: usize,
    /// How many of them before each restart.
    pub batch: usize,
    /// Where the random numbers start.
    pub seed: u64,
}

fn up(start: &Start) -> Result<Server, String> {
    start.try_up().map_err(|ended| format!("no start: {ended:?}"))
}

/// Runs it; gives how many files were damaged, all of which were noticed.
pub fn run(plan: &Rot, mut progress: impl FnMut(usize)) -> Result<usize, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let data = directory.path().join("data");
    let start = Storage::Fs.serve(&plan.program, &data).variable("RUST_LOG", "error");
    let start = if plan.sealed { start } else { start.arg("--names=plain") };
    let entities = Entities::new(plan.entities);
    let mut server = up(&start)?;
    entities.write(&mut server.admin())?;
    let objects = objects(&Storage::Fs.root(&data));
    if objects.len() != entities.count() {
        return Err(format!("{} files of {} entities", objects.len(), entities.count()));
    }
    let (mut random, mut done) = (Random::new(plan.seed), 0);
    while done < plan.damages {
        let damaged = Damaged::some(&objects, plan.batch.min(plan.damages - done), &mut random);
        let damaged = damaged.map_err(|error| error.to_string())?;
        server.kill();
        server = up(&start)?;
        let refused = entities.read(&mut server.admin()).map_err(|wrong| format!("{wrong}, of {damaged:?}"))?;
        let expected: BTreeSet<String> = damaged.files().map(entity_of).collect();
        let same = if plan.sealed { refused.len() == expected.len() } else { refused == expected };
        if !same {
            let [unnoticed, without_need] = [&expected - &refused, &refused - &expected];
            return Err(format!("unnoticed: {unnoticed:?}, refused without need: {without_need:?}"));
        }
        server.stop();
        fsck(&start, &refused)?;
        done += expected.len();
        damaged.repair().map_err(|error| error.to_string())?;
        server = up(&start)?;
        progress(done);
    }
    let refused = entities.read(&mut server.admin())?;
    if refused.is_empty() { Ok(done) } else { Err(format!("refused after all was put right: {refused:?}")) }
}

/// `deltadb fsck` finds these damaged, and nothing else.
fn fsck(start: &Start, expected: &BTreeSet<String>) -> Result<(), String> {
    let program = start.program().to_string_lossy().into_owned();
    let finished = start.clone().without("ADMIN_KEY").line(&program, &["fsck", "--json"]).run();
    let lines = finished.stdout.lines().map(serde_json::from_str::<Value>);
    let lines: Vec<Value> = lines.collect::<Result<_, _>>().map_err(|error| format!("{error}: {finished:?}"))?;
    let of = |line: &Value| Some(format!("{}/{}", line.get("database")?.as_str()?, line.get("key")?.as_str()?));
    let findings: Vec<_> = lines.iter().filter(|line| line.get("finding").is_some()).collect();
    let found: BTreeSet<String> = findings.iter().filter_map(|line| of(line)).collect();
    match found == *expected && findings.len() == found.len() && finished.code == Some(2) {
        true => Ok(()),
        false => Err(format!("fsck missed {:?}: {finished:?}", expected - &found)),
    }
}
