//! Damage to the files of a store on `embedded`, one at a time, each on a copy of its own.
//!
//! The log and the tables are not a file an entity, so damage may take the whole store: it is then refused at the start. Where
//! it starts, every entity is answered as it was written, or with an error of the server's.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

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
    /// Which damage is the first, of those that the seed gives.
    pub first: usize,
    /// How many are tried at the same time.
    pub jobs: usize,
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

/// What happens to one file.
#[derive(Debug, Clone, Copy)]
struct Blow {
    /// Which file.
    file: usize,
    /// Where in it.
    at: usize,
    how: How,
}

#[derive(Debug, Clone, Copy)]
enum How {
    /// It ends there.
    Cut,
    /// A part of the first half changes places with the one that lies as far in the second.
    Swap,
    /// One bit is another.
    Flip(u8),
}

/// Runs it; the error says what was answered wrongly, and after which damage.
pub fn run(plan: &Decay, progress: impl Fn(&Seen) + Sync) -> Result<Seen, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let whole = directory.path().join("whole");
    let entities = Entities::new(plan.entities);
    let start = |data: &Path| {
        let start = Storage::Embedded.serve(&plan.program, data).variable("RUST_LOG", "off");
        // Small, so that part of what is written has left the log for tables.
        start.variable("DELTADB_STORAGE__WRITE_BUFFER_BYTES", (1 << 20).to_string())
    };
    let server = start(&whole).try_up().map_err(|ended| format!("{ended:?}"))?;
    entities.write(&mut server.admin())?;
    server.kill();
    let used = used(&Storage::Embedded.root(&whole)).map_err(|error| error.to_string())?;
    let blows = blows(&used, plan);
    let (next, seen) = (AtomicUsize::new(plan.first), Mutex::new(Ok(Seen::default())));
    let job = |job: usize| {
        let copy = directory.path().join(format!("copy{job}"));
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((blow, (path, image))) = blows.get(number).and_then(|blow| Some((blow, used.get(blow.file)?)))
            else {
                return;
            };
            let file = Storage::Embedded.root(&copy).join(path);
            let damaged =
                copied(&whole, &copy).and_then(|()| damage(&file, image, *blow).map_err(|error| error.to_string()));
            let looked = damaged.and_then(|()| look(&start(&copy), &entities));
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match (&mut *seen, looked) {
                (Ok(seen), Ok(kind)) => {
                    *kind(seen) += 1;
                    progress(seen);
                }
                (Ok(_), Err(wrong)) => *seen = Err(format!("damage {number}, {blow:?}, {}: {wrong}", path.display())),
                (Err(_), _) => return,
            }
        }
    };
    thread::scope(|scope| (0..plan.jobs.max(1)).for_each(|number| _ = scope.spawn(move || job(number))));
    seen.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What the seed gives.
fn blows(used: &[(PathBuf, Vec<u8>)], plan: &Decay) -> Vec<Blow> {
    let mut random = Random::new(plan.seed);
    let blow = |_| {
        let file = random.index(used.len());
        let length = used.get(file).map_or(0, |(_, image)| image.len());
        let at = random.index(length);
        match random.index(3) {
            0 => Blow { file, at, how: How::Cut },
            1 if length > 2 * SWAPPED_BYTES => {
                Blow { file, at: random.index(length / 2 - SWAPPED_BYTES / 2), how: How::Swap }
            }
            _ => Blow { file, at, how: How::Flip(1 << random.below(8)) },
        }
    };
    (0..plan.first + plan.damages).map(blow).collect()
}

fn copied(from: &Path, to: &Path) -> Result<(), String> {
    drop(fs::remove_dir_all(to));
    // The log is mostly holes.
    let copied = Command::new("cp").args(["-a", "--sparse=always"]).args([from, to]).status();
    if copied.is_ok_and(|status| status.success()) { Ok(()) } else { Err("cp failed".to_owned()) }
}

/// The files of a store that are not empty, each as its path and what it holds.
fn used(root: &Path) -> std::io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = files(root);
    files.sort();
    let mut used = Vec::new();
    for path in files {
        let mut image = fs::read(&path)?;
        // Behind that are only zeros, which are as good as nothing.
        image.truncate(image.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        if !image.is_empty() {
            used.push((path.strip_prefix(root).unwrap_or(&path).to_owned(), image));
        }
    }
    Ok(used)
}

/// Damages a file that holds an image, and maybe zeros behind it.
fn damage(path: &Path, image: &[u8], blow: Blow) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let mut image = image.to_vec();
    match blow.how {
        How::Cut => return file.set_len(blow.at as u64),
        How::Swap => {
            let middle = image.len() / 2;
            let (left, right) = image.split_at_mut(middle);
            let pairs = left.iter_mut().skip(blow.at).zip(right.iter_mut().skip(blow.at)).take(SWAPPED_BYTES);
            pairs.for_each(|(one, other)| std::mem::swap(one, other));
        }
        How::Flip(bit) => image.iter_mut().skip(blow.at).take(1).for_each(|byte| *byte ^= bit),
    }
    file.write_all_at(&image, 0)
}

/// Starts the server on a damaged store and reads everything: what is to be counted.
fn look(start: &Start, entities: &Entities) -> Result<fn(&mut Seen) -> &mut usize, String> {
    match start.try_up() {
        // A panic is no refusal.
        Err(ended) if ended.status.code() != Some(1) || !ended.output.contains("error: ") => {
            Err(format!("a bad end: {ended:?}"))
        }
        Err(_) => Ok(|seen| &mut seen.refused),
        Ok(server) => match entities.read(&mut server.admin())?.is_empty() {
            true => Ok(|seen| &mut seen.harmless),
            false => Ok(|seen| &mut seen.in_part),
        },
    }
}
