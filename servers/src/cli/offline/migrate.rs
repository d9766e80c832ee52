//! `migrate`: a store goes from one storage to another, each object opened on its way.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use delta_core::copying::{Copy, Tally};
use delta_core::storage::Storage;

use crate::cli::{eprint_line, print_line, progress};
use crate::config::Config;
use crate::secrets::Secrets;

use super::args::StoreArgs;
use super::store::{self, Place};

/// The exit code of a migration that left objects out.
const LEFT_OUT: u8 = 2;

pub(crate) const EXAMPLES: &str = "\
The copy has the same store id, keys, versions and ETags; the source is not changed. Both stores must be closed. A copy
that was cut short does not open as a store: run the same command again, and it goes on. Nothing is copied that does not
open: see `deltadb fsck` about what to do with damage.

Exit codes:
  0  the destination is a store, compared with the source byte for byte
  1  it could not run, or was cut short
  2  something in the source is damaged, or has a name that is too long for the destination; the rest is copied, and the
     destination is not a store yet

Examples:
  deltadb migrate --dev --to fs:./shared/db        the store that `serve --dev` would open
  deltadb migrate --from embedded:/var/lib/deltadb/store --to fs:/srv/db --master-key-file master.key
  deltadb migrate --from fs:/srv/db --to embedded:/var/lib/deltadb/store --master-key-file master.key";

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// The store to copy, as STORAGE:DIR [default: the one that `serve` would open]
    #[arg(long, value_name = "STORAGE:DIR", value_parser = Place::parse)]
    from: Option<Place>,
    /// Where to: an empty or new directory, as STORAGE:DIR
    #[arg(long, value_name = "STORAGE:DIR", value_parser = Place::parse)]
    to: Place,
    #[command(flatten)]
    store: StoreArgs,
}

impl MigrateArgs {
    /// Runs the migration.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { from, to, store } = self;
        super::run(store, |config, secrets| migrate(config, secrets, from, to))
    }
}

async fn migrate(config: Config, secrets: Secrets, from: Option<Place>, to: Place) -> Result<ExitCode> {
    let from = from.unwrap_or_else(|| Place::of(&config));
    from.exists().context("the source")?;
    let source = from.open().await.context("the source")?;
    let destination = to.open().await.context("the destination")?;
    let copied = copy(&config, &secrets, &from, source.clone(), destination.clone()).await;
    destination.close().await.context("the destination")?;
    source.close().await.context("the source")?;
    let again = "; run the same command again, and the copy goes on";
    let Tally { opened, written, removed, damaged, misnamed, .. } =
        copied.map_err(|error| match error.downcast_ref::<delta_core::Error>().map(delta_core::Error::code) {
            Some("occupied") => error,
            _ => anyhow::anyhow!("{error:#}{again}"),
        })?;
    if damaged > 0 {
        eprint_line(&format!(
            "{damaged} objects of {from} are damaged, and {to} is not a store; run `deltadb fsck`, then this again"
        ));
    }
    if misnamed > 0 {
        eprint_line(&format!(
            "{misnamed} objects of {from} have names that are too long for {to}, which is not a store; start a server on the \
             source, put their entities under shorter keys and delete the long ones, then run this again"
        ));
    }
    if damaged + misnamed > 0 {
        return Ok(ExitCode::from(LEFT_OUT));
    }
    let removed =
        if removed == 0 { String::new() } else { format!(", {removed} removed that an earlier attempt had copied") };
    print_line(&format!(
        "{to} is the same store as {from}: {opened} objects, {written} written now{removed}; all compared"
    ));
    Ok(ExitCode::SUCCESS)
}

async fn copy(
    config: &Config,
    secrets: &Secrets,
    from: &Place,
    source: Arc<dyn Storage>,
    destination: Arc<dyn Storage>,
) -> Result<Tally> {
    let found = store::superblocks(config, secrets, from, source.clone()).await?;
    let newest = found.generations.first().context("the source has no superblock")?;
    let superblock = match &newest.opened {
        Ok(superblock) => superblock,
        Err(error) => bail!("{error}"),
    };
    let check = store::check(config, &source, superblock)?;
    let bar = progress::spinner();
    let bar = match bar.is_hidden() {
        true => bar,
        false => {
            bar.set_message("counting");
            // Every object is copied, then compared.
            progress::bar(2 * check.count().await?, false)
        }
    };
    let mut copy = Copy::begin(superblock.keyring.store(), source, check, destination).await?;
    let tally = copy
        .objects(|tally, broken| {
            bar.set_position(tally.opened + tally.damaged);
            if let Some((name, error)) = broken {
                bar.suspend(|| eprint_line(&format!("not copied: {name}: {error}")));
            }
        })
        .await?;
    if tally.damaged + tally.misnamed > 0 {
        return Ok(tally);
    }
    bar.set_message("comparing");
    let tally = copy.compare(|tally| bar.set_position(tally.opened + tally.compared)).await?;
    copy.finish(&found.generations).await?;
    bar.finish_and_clear();
    Ok(tally)
}
