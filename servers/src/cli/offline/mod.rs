//! The commands that open a store themselves, while no server runs on it: `fsck` and `migrate`.
//!
//! They take the store as `serve` does, with its lock, so beside a running server they are refused. They never make a store,
//! and never change which master keys one has.

mod args;
mod fsck;
mod migrate;
mod report;
mod store;

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::config::Config;
use crate::roles::harden;
use crate::secrets::Secrets;
use crate::telemetry;

pub(crate) use fsck::{EXAMPLES as FSCK_EXAMPLES, FsckArgs};
pub(crate) use migrate::{EXAMPLES as MIGRATE_EXAMPLES, MigrateArgs};

use args::StoreArgs;

/// Reads the configuration, and runs what needs it and the secrets to its end.
fn run<F: Future<Output = Result<ExitCode>>>(
    args: StoreArgs,
    work: impl FnOnce(Config, Secrets) -> F,
) -> Result<ExitCode> {
    let (file, flags, secrets) = args.split();
    let config = Config::load(file.as_deref(), flags)?;
    telemetry::start(config.log_format, None);
    harden::no_core_dumps();
    let secrets = Secrets::load(secrets, file.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    runtime.block_on(work(config, secrets))
}
