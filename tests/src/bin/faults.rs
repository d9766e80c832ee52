//! Faults by hand, `cargo run -p delta-tests --bin faults --` and what goes wrong:
//!
//! - `calls --storage fs [--every 1] [--first 0] [--jobs 2] [--stay 0]`: calls of the server's, one after the other;
//! - `damage [--count 10000] [--entities 1000] [--batch 250] [--sealed 0] [--seed N]`: the files of a store on `fs`;
//! - `damage --storage embedded [--count 500] [--first 0] [--jobs 2] [--entities 1000] [--seed N]`: the files of a store on
//!   `embedded`;
//! - `power --storage fs [--cycles 100] [--seed N]`: the power of a disk, under load.
//!
//! It is the server, too: it starts itself with `serve` and `fsck`, unless `DELTADB_BIN` names another program.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use delta_tests::faults::decay::{self, Decay};
use delta_tests::faults::rot::{self, Rot};
use delta_tests::faults::sweep::{Sweep, sweep};
use delta_tests::kill_loop::{Crash, Plan, run};
use delta_tests::mounts::Disk;
use delta_tests::random::Random;
use delta_tests::storages::Storage;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| ["serve", "fsck"].contains(&first.as_str())) {
        return delta_server::run();
    }
    let begun = Instant::now();
    match command(&arguments) {
        Ok(report) => {
            say(&format!("\r{report}; {:.0?}\n", begun.elapsed()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("\nerror: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    let out = std::io::stdout();
    drop(out.lock().write_all(text.as_bytes()).and_then(|()| out.lock().flush()));
}

/// The value of a flag, or what counts without it.
fn value<T: std::str::FromStr>(arguments: &[String], flag: &str, without: T) -> Result<T, String> {
    match arguments.iter().position(|argument| argument == flag) {
        None => Ok(without),
        Some(at) => {
            let given = arguments.get(at + 1).and_then(|given| given.parse().ok());
            given.ok_or_else(|| format!("{flag} needs a value"))
        }
    }
}

fn command(arguments: &[String]) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let storage = Storage::parse(&value(arguments, "--storage", "fs".to_owned())?)?;
    match arguments.first().map(String::as_str) {
        Some("calls") => calls(arguments, program, storage),
        Some("damage") if storage == Storage::Embedded => decay(arguments, program),
        Some("damage") => damage(arguments, program),
        Some("power") => power(arguments, program, storage),
        _ => Err("the first word is what goes wrong: calls, damage or power".into()),
    }
}

/// Every call of the script fails once.
fn calls(arguments: &[String], program: PathBuf, storage: Storage) -> Result<String, String> {
    let plan = Sweep {
        program,
        storage,
        jobs: value(arguments, "--jobs", 2)?,
        every: value(arguments, "--every", 1)?,
        first: value(arguments, "--first", 0)?,
        stay: value(arguments, "--stay", 0)? != 0,
    };
    let report = sweep(&plan, |report, point, wrong| {
        say(&format!("\r{} runs, {} faults; {point:<60}", report.runs, report.hits));
        wrong.iter().for_each(|wrong| say(&format!("\n{point}: {wrong}\n")));
    })?;
    Ok(format!("{report:?}"))
}

/// Files change by themselves.
fn damage(arguments: &[String], program: PathBuf) -> Result<String, String> {
    let plan = Rot {
        program,
        sealed: value(arguments, "--sealed", 0)? != 0,
        entities: value(arguments, "--entities", 1_000)?,
        damages: value(arguments, "--count", 10_000)?,
        batch: value(arguments, "--batch", 250)?,
        seed: value(arguments, "--seed", Random::seed())?,
    };
    let seed = plan.seed;
    say(&format!("seed {seed}\n"));
    let done = rot::run(&plan, |done| say(&format!("\r{done} files damaged")));
    done.map(|done| format!("{done} files damaged, all noticed, and no other"))
        .map_err(|wrong| format!("seed {seed}: {wrong}"))
}

/// Files of a tree change by themselves.
fn decay(arguments: &[String], program: PathBuf) -> Result<String, String> {
    let plan = Decay {
        program,
        entities: value(arguments, "--entities", 1_000)?,
        damages: value(arguments, "--count", 500)?,
        first: value(arguments, "--first", 0)?,
        jobs: value(arguments, "--jobs", 2)?,
        seed: value(arguments, "--seed", Random::seed())?,
    };
    let seed = plan.seed;
    say(&format!("seed {seed}\n"));
    let seen = decay::run(&plan, |seen| say(&format!("\r{seen:?}")));
    seen.map(|seen| format!("{seen:?}")).map_err(|wrong| format!("seed {seed}: {wrong}"))
}

/// The power of a disk goes in the middle of the load.
fn power(arguments: &[String], program: PathBuf, storage: Storage) -> Result<String, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let disk = Disk::new(directory.path())?;
    let mut plan = Plan {
        program,
        data: disk.path().join("data"),
        storage,
        crash: Crash::PowerCut(disk),
        variables: Vec::new(),
        cycles: value(arguments, "--cycles", 100)?,
        writers: value(arguments, "--writers", 6)?,
        keys: value(arguments, "--keys", 20)?,
        seed: value(arguments, "--seed", Random::seed())?,
    };
    let seed = plan.seed;
    say(&format!("seed {seed}\n"));
    let report =
        run(&mut plan, |report| say(&format!("\r{} cuts, {} acknowledged", report.cycles, report.acknowledged)));
    report.map(|report| format!("{report:?}")).map_err(|lost| format!("seed {seed}: {lost}"))
}
