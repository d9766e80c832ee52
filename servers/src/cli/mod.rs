//! The command line: what a person or a script types.

pub(crate) mod args;
mod certs;
mod client;
mod documents;
pub(crate) mod go_flags;
pub(crate) mod help;
mod offline;
pub(crate) mod progress;
pub(crate) mod worker;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::FromArgMatches;
use clap::error::ErrorKind;

use crate::roles::{self, Role};
use args::{Cli, Command};

/// The names under which the seeds' scripts start the binary.
const MAIN_WORKER: &str = "main-worker";
const PROC_WORKER: &str = "proc-worker";

/// Parses the arguments and runs the command.
pub(crate) fn run(arguments: Vec<OsString>) -> ExitCode {
    let started_as = arguments.first().map(Path::new).and_then(Path::file_stem).unwrap_or_default().to_os_string();
    let arguments = go_flags::normalise(arguments);
    let arguments = if started_as == MAIN_WORKER { as_command(arguments, "main") } else { arguments };
    let arguments = if started_as == PROC_WORKER { as_command(arguments, "worker") } else { arguments };
    let parsed = help::command().try_get_matches_from(&arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let result = match parsed {
        Ok(cli) => execute(cli.command),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            drop(error.print());
            return ExitCode::SUCCESS;
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            drop(error.print());
            return ExitCode::FAILURE;
        }
        Err(error) => Err(anyhow::anyhow!(usage(&error, &arguments))),
    };
    result.unwrap_or_else(|error| {
        let line = format!("{error:#}").replace('\n', " ");
        eprint_line(&format!("error: {}", client::printable(&line)));
        ExitCode::FAILURE
    })
}

fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => roles::serve::run(*args, Role::Serve)?,
        Command::Main(args) => roles::serve::run(*args, Role::Main)?,
        Command::Worker(args) => roles::worker::run(*args)?,
        Command::Certs(certs) => certs.run()?,
        Command::Client(command) => return Ok(command.run()),
        Command::Fsck(args) => return args.run(),
        Command::Migrate(args) => return args.run(),
        Command::Plugins => {
            for plugin in delta_core::plugin::plugins() {
                print_line(&format!("{:<10} {:<12} {}", plugin.open.point(), plugin.name, plugin.about));
            }
        }
        Command::Openapi => print_line(crate::openapi().trim_end()),
        Command::Completions { shell } => documents::completions(shell),
        Command::Man { dir } => documents::man(dir.as_deref())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `main-worker …` is `deltadb main …`.
fn as_command(mut arguments: Vec<OsString>, command: &str) -> Vec<OsString> {
    arguments.insert(1.min(arguments.len()), command.into());
    arguments
}

/// What is wrong with the arguments, in one line; clap's own message has several.
pub(crate) fn usage(error: &clap::Error, arguments: &[OsString]) -> String {
    let text = error.to_string();
    let lines =
        text.lines().take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")).map(str::trim);
    let line = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ").replace(":; ", ": ");
    let (mut command, mut path) = (help::command(), "deltadb".to_owned());
    for argument in arguments.iter().skip(1) {
        if let Some(inner) = command.find_subcommand(argument).cloned() {
            path = format!("{path} {}", inner.get_name());
            command = inner;
        }
    }
    format!("{}; see `{path} --help`", line.trim_start_matches("error: "))
}

/// A line for whoever started the process; one who does not read it any more is no failure.
pub(crate) fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

/// What went wrong, even when logging is off.
fn eprint_line(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}
