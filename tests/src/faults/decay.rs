//! Damage to the files of a store on `embedded`, one at a time, each on a copy of its own.
//!
//! The log and the tables are not a file an entity, so damage may take the whole store: it is then refused at the start. Where
//! it starts, every entity is answered as it was written, or with an error of the server's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::damage::Entities;
use super::paths::files;
use crate::random::Random;
use crate::start::Start;
use crate::storages::Storage;

/// How much of a file changes places with another part of it.
const SWAPPED_BYTES: usize = 512;

/// What to do.
#[derive(Debug, Clone)]
pub struct Decay {
    /// The program to start as `serve`.
    pub program: PathBuf,
    /// How many entities there are.
    pub entities: usize,
    /// How often a file is damaged.
    pub damages: usize,
    /// Where the random numbers start.
    pub seed: u64,
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The store was refused at the start.
    pub refused: usize,
    /// It was opened, and some entities were answered with an error of the server's.
    pub in_part: usize,
    /// It was opened, and everything was there.
    pub harmless: usize,
}

/// Runs it; the error says what was answered wrongly, and after which damage.
pub fn run(plan: &Decay, mut progress: impl FnMut(&Seen)) -> Result<Seen, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (whole, copy) = (directory.path().join("whole"), directory.path().join("copy"));
    let entities = Entities::new(plan.entities);
    let start = |data: &Path| {
        let start = Storage::Embedded.serve(&plan.program, data).variable("RUST_LOG", "off");
        // Small, so that part of what is written has left the log for tables.
        start.variable("DELTADB_STORAGE__WRITE_BUFFER_BYTES", (1 << 20).to_string())
    };
    let server = start(&whole).try_up().map_err(|ended| format!("{ended:?}"))?;
    entities.write(&mut server.admin())?;
    server.kill();
    let (mut random, mut seen) = (Random::new(plan.seed), Seen::default());
    for _ in 0..plan.damages {
        copied(&whole, &copy)?;
        let what = damage(&Storage::Embedded.root(&copy), &mut random).map_err(|error| error.to_string())?;
        look(&start(&copy), &entities, &mut seen).map_err(|wrong| format!("{what}: {wrong}"))?;
        progress(&seen);
    }
    Ok(seen)
}

fn copied(from: &Path, to: &Path) -> Result<(), String> {
    drop(fs::remove_dir_all(to));
    // The log is mostly holes.
    let copied = Command::new("cp").args(["-a", "--sparse=always"]).args([from, to]).status();
    if copied.is_ok_and(|status| status.success()) { Ok(()) } else { Err("cp failed".to_owned()) }
}

/// Damages one file that is not empty, and says how.
fn damage(root: &Path, random: &mut Random) -> std::io::Result<String> {
    let mut files = files(root);
    files.sort();
    let mut used = Vec::new();
    for path in files {
        let image = fs::read(&path)?;
        // Behind that are only zeros, which are as good as nothing.
        let length = image.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if length > 0 {
            used.push((path, image, length));
        }
    }
    let (path, mut image, length) = used.swap_remove(random.index(used.len()));
    let at = random.index(length);
    let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
    let what = match random.index(3) {
        0 => {
            image.truncate(at);
            format!("{name} ends at byte {at} of {length}")
        }
        1 if length > 2 * SWAPPED_BYTES => {
            let (left, right) = image.split_at_mut(length / 2);
            let from = random.index(left.len() - SWAPPED_BYTES / 2);
            let pairs = left.iter_mut().skip(from).zip(right.iter_mut().skip(from)).take(SWAPPED_BYTES);
            pairs.for_each(|(one, other)| std::mem::swap(one, other));
            format!("{SWAPPED_BYTES} bytes of {name} from {from} and {} swapped", length / 2 + from)
        }
        _ => {
            image.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8));
            format!("byte {at} of {name} flipped")
        }
    };
    fs::write(&path, image)?;
    Ok(what)
}

fn look(start: &Start, entities: &Entities, seen: &mut Seen) -> Result<(), String> {
    match start.try_up() {
        Err(ended) => {
            // A panic is no refusal.
            let refused = ended.status.code() == Some(1) && ended.output.contains("error: ");
            seen.refused += 1;
            if refused { Ok(()) } else { Err(format!("a bad end: {ended:?}")) }
        }
        Ok(server) => {
            let wrong = entities.read(&mut server.admin())?;
            if wrong.is_empty() {
                seen.harmless += 1
            } else {
                seen.in_part += 1
            }
            Ok(())
        }
    }
}
