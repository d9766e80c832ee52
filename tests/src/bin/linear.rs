//! Linearizability by hand: `cargo run -p delta-tests --bin linear -- --runs 100 --seconds 60 [--mains 2] [--shared 1]
//! [--workers 3] [--clients 12] [--keys 5] [--calm 1] [--cache-max-stale 1h] [--seed N]`.
//!
//! It is the cluster, too: it starts itself with `main` and `worker`, unless `DELTADB_BIN` names another program.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use delta_tests::linear::{Failure, Plan, Staff, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| ["main", "worker"].contains(&first.as_str())) {
        return delta_server::run();
    }
    match command(&arguments) {
        Ok(report) => {
            say(&format!("{report}\n"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("error: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    let out = std::io::stdout();
    drop(out.lock().write_all(text.as_bytes()).and_then(|()| out.lock().flush()));
}

/// Runs until the first violation; a void run is made up for, as often as there are runs.
fn command(arguments: &[String]) -> Result<String, String> {
    let (mut plan, runs) = plan(arguments)?;
    let begun = Instant::now();
    let (mut done, mut void, mut answered, mut unknown) = (0, 0, 0, 0);
    while done < runs {
        match run(&plan) {
            Ok(report) => {
                done += 1;
                answered += report.answered;
                unknown += report.unknown;
                say(&format!("run {done}, seed {}: {report}\n", plan.seed));
            }
            Err(failure @ Failure::Void(_)) if void < runs => {
                void += 1;
                say(&format!("seed {}: {failure}\n", plan.seed));
            }
            Err(failure) => return Err(format!("seed {}: {failure}", plan.seed)),
        }
        plan.seed += 1;
    }
    let took = begun.elapsed();
    Ok(format!("{runs} runs in {took:.0?}: {answered} answers, {unknown} unknown outcomes, no violation; {void} void"))
}

fn plan(arguments: &[String]) -> Result<(Plan, u64), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let (mut plan, mut runs) = (Plan::new(program, 1, Duration::from_secs(60)), 1);
    for pair in arguments.chunks(2) {
        let [flag, value] = pair else { return Err(format!("{pair:?}: each flag has a value")) };
        if flag == "--cache-max-stale" {
            plan.worker_arguments = vec![format!("{flag}={value}")];
            continue;
        }
        let number: u64 = value.parse().map_err(|_| format!("{flag} needs a number"))?;
        let small = usize::try_from(number).map_err(|_| format!("{flag} is too large"))?.max(1);
        match flag.as_str() {
            "--runs" => runs = number,
            "--seconds" => plan.time = Duration::from_secs(number),
            "--mains" => plan.mains = small,
            "--shared" => plan.staff = if number == 0 { Staff::Own } else { Staff::Shared },
            "--workers" => plan.workers = small,
            "--clients" => plan.clients = small,
            "--keys" => plan.keys = small,
            "--calm" => plan.is_troubled = number == 0,
            "--seed" => plan.seed = number,
            _ => return Err(format!("unknown flag {flag}; the first lines of linear.rs list those that there are")),
        }
    }
    Ok((plan, runs))
}
