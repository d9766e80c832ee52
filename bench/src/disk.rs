//! The disk: where data goes, what a flush costs, and a stand-in for a slower one.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::stats;

/// What one write of ours appends to the journal, about.
const APPEND_BYTES: usize = 600;
/// `TMPFS_MAGIC` of statfs(2): memory, where a flush costs nothing.
const TMPFS: u64 = 0x0102_1994;
/// The source of the preloaded library.
const SLOW_FLUSH: &str = include_str!("slow_flush.c");

/// A directory for one run, below `parent`; it must be on a disk.
pub(crate) fn directory(parent: &Path) -> Result<tempfile::TempDir> {
    std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    if rustix::fs::statfs(parent)?.f_type as u64 == TMPFS {
        bail!("{} is in memory; name a directory on a disk with --dir", parent.display());
    }
    Ok(tempfile::Builder::new().prefix("bench-").tempdir_in(parent)?)
}

/// The median time of fdatasync after a small append, over this many.
pub(crate) fn flush_p50(directory: &Path, appends: usize) -> Result<Duration> {
    let mut file = File::create(directory.join("flushed"))?;
    let mut nanos = Vec::with_capacity(appends);
    for _ in 0..appends {
        file.write_all(&[7; APPEND_BYTES])?;
        let started = Instant::now();
        file.sync_data()?;
        nanos.push(u32::try_from(started.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }
    let [p50] = stats::percentiles(&mut nanos, [50.0]);
    Ok(p50)
}

/// Builds the library that makes every flush take a millisecond longer; `None` without a C compiler.
pub(crate) fn slow_flush_library(directory: &Path) -> Result<Option<PathBuf>> {
    let (source, library) = (directory.join("slow_flush.c"), directory.join("slow_flush.so"));
    std::fs::write(&source, SLOW_FLUSH)?;
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
    let Ok(status) = built else { return Ok(None) };
    ensure!(status.success(), "cc does not compile slow_flush.c");
    Ok(Some(library))
}
