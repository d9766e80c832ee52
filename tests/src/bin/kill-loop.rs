//! The kill -9 loop by hand: `cargo run -p delta-tests --bin kill-loop -- --cycles 500 [--storage fs] [--writers 8] [--keys 40]
//! [--seed N]`.
//!
//! It is the server, too: it starts itself with `serve`, unless `DELTADB_BIN` names another program.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use delta_tests::kill_loop::{Crash, Plan, Report, run};
use delta_tests::random::Random;
use delta_tests::storages::Storage;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "serve") {
        return delta_server::run();
    }
    let (out, begun) = (std::io::stdout(), Instant::now());
    let say = |line: String| drop(out.lock().write_all(line.as_bytes()).and_then(|()| out.lock().flush()));
    let report = plan(&arguments).and_then(|(mut plan, _directory)| {
        say(format!("seed {} in {}\n", plan.seed, plan.data.display()));
        let seed = plan.seed;
        run(&mut plan, |report| say(format!("\r{}", line(report)))).map_err(|lost| format!("seed {seed}: {lost}"))
    });
    match report {
        Ok(report) => {
            say(format!("\r{}; nothing was lost; {:.0?}\n", line(&report), begun.elapsed()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(format!("\nerror: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn line(report: &Report) -> String {
    format!(
        "{} kills, {} writes acknowledged, {} unanswered applied and {} not, {} keys checked, restart at most {:.1?}",
        report.cycles, report.acknowledged, report.applied, report.not_applied, report.checked, report.restart_max
    )
}

fn plan(arguments: &[String]) -> Result<(Plan, tempfile::TempDir), String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let data = directory.path().join("data");
    let (storage, crash, variables) = (Storage::Embedded, Crash::Kill, Vec::new());
    let mut plan =
        Plan { program, data, storage, crash, variables, cycles: 100, writers: 8, keys: 40, seed: Random::seed() };
    for pair in arguments.chunks(2) {
        let [flag, value] = pair else {
            return Err("flags are --storage, --cycles, --writers, --keys, --seed, each with a value".into());
        };
        if flag == "--storage" {
            plan.storage = Storage::parse(value)?;
            continue;
        }
        let number: u64 = value.parse().map_err(|_| format!("{flag} needs a number"))?;
        let small = u32::try_from(number).map_err(|_| format!("{flag} is too large"))?;
        match flag.as_str() {
            "--cycles" => plan.cycles = small,
            "--writers" => plan.writers = small.max(1) as usize,
            "--keys" => plan.keys = small.max(1) as usize,
            "--seed" => plan.seed = number,
            _ => {
                return Err(format!(
                    "unknown flag {flag}; there are --storage, --cycles, --writers, --keys and --seed"
                ));
            }
        }
    }
    Ok((plan, directory))
}
