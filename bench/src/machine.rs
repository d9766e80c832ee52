//! Who else used the machine: figures taken beside a compiler are worth little, and must say so.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The share of the processors that others may use before the figures carry a warning.
const OTHERS_MAX: f64 = 0.05;

/// The beginning of a run.
#[derive(Debug)]
pub(crate) struct Watch {
    started: Instant,
    all: u64,
    ours: u64,
}

impl Watch {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self { started: Instant::now(), all: all_ticks()?, ours: our_ticks()? })
    }

    /// A line about everybody else's use, to be asked when every child has ended.
    pub(crate) fn others(&self) -> Result<String> {
        let [all, ours] = [all_ticks()? - self.all, our_ticks()? - self.ours].map(duration);
        let processors = std::thread::available_parallelism()?.get();
        let share = all.saturating_sub(ours).as_secs_f64() / self.started.elapsed().as_secs_f64() / processors as f64;
        let warning = if share > OTHERS_MAX { ": too much, measure again when the machine is quiet" } else { "" };
        Ok(format!("{processors} processors, of which other processes used {:.0} % meanwhile{warning}", share * 100.0))
    }
}

/// Processor time of `ticks` of the clock that `/proc` counts in.
pub(crate) fn duration(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// `user`, `nice` and `system` of the whole machine, proc_stat(5); interrupts are nobody's.
fn all_ticks() -> Result<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let first =
        stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("/proc/stat has no first line")?;
    Ok(sum(first, 0, 3))
}

/// This process and the children it has waited for.
fn our_ticks() -> Result<u64> {
    process_ticks("self", 4)
}

/// The first of `utime`, `stime`, `cutime` and `cstime` of a process: fields 14 to 17 of proc_pid_stat(5).
pub(crate) fn process_ticks(process: &str, fields: usize) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name before them may hold anything, but ends in ')'.
    Ok(sum(stat.rsplit(')').next().unwrap_or_default(), 11, fields))
}

fn sum(line: &str, skip: usize, take: usize) -> u64 {
    line.split_whitespace().skip(skip).take(take).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}
