//! What a durable write of a file costs by itself: a loop of the system calls that storage `fs` needs for each.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::compare::fs::{NAMES, name};

/// Directories that the files are spread over.
const SHARDS: u32 = 32;
/// Lock files that the writes are spread over.
const STRIPES: u64 = 1024;
/// How much of the file before is read.
const HEAD_BYTES: u64 = 1024;

/// Writes a second, by so many threads.
pub(crate) fn run(directory: &Path, threads: usize, seconds: f64, image: &[u8]) -> Result<f64> {
    fs::create_dir(directory)?;
    for shard in (0..SHARDS).filter_map(|shard| char::from_digit(shard, 32)) {
        fs::create_dir(directory.join(shard.to_string()))?;
    }
    fs::create_dir(directory.join("locks"))?;
    File::open(directory)?.sync_all()?;
    let written = AtomicU64::new(0);
    let (start, end) = (Instant::now(), Instant::now() + Duration::from_secs_f64(seconds));
    let ended: Vec<io::Result<()>> = std::thread::scope(|scope| {
        let work = || {
            while Instant::now() < end {
                write(directory, written.fetch_add(1, Ordering::Relaxed), image)?;
            }
            Ok(())
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
        };
        threads.into_iter().map(join).collect()
    });
    ended.into_iter().collect::<io::Result<()>>()?;
    Ok(written.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}

/// Lock, look, write, fdatasync, rename, fsync of the directory, unlock.
fn write(directory: &Path, number: u64, image: &[u8]) -> io::Result<()> {
    let name = name(number % NAMES);
    let stripe = directory.join("locks").join(format!("{:03x}", number % STRIPES));
    let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(stripe)?;
    lock.lock()?;
    let shard = directory.join(name.shard().unwrap_or('0').to_string());
    let path = shard.join(format!("{}.json.enc", name.name));
    if let Ok(before) = File::open(&path) {
        before.take(HEAD_BYTES).read_to_end(&mut Vec::new())?;
    }
    let temporary = shard.join(format!(".t-{number}"));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
    file.write_all(image)?;
    file.sync_data()?;
    drop(file);
    fs::rename(temporary, path)?;
    File::open(shard)?.sync_all()
}
