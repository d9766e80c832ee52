//! Faults by hand: `cargo run -p delta-tests --bin faults -- calls --storage fs [--every 1] [--first 0] [--jobs 2] [--stay 0]`.
//!
//! It is the server, too: it starts itself with `serve`, unless `DELTADB_BIN` names another program.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use delta_tests::faults::sweep::{Sweep, sweep};
use delta_tests::storages::Storage;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "serve") {
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
        _ => Err("the first word is what goes wrong: calls".into()),
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
    let report = sweep(&plan, |report, point| {
        say(&format!("\r{} runs, {} faults; {point:<60}", report.runs, report.hits));
    })?;
    Ok(format!("{report:?}"))
}
