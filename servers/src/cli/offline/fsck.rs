//! `fsck`: every object of a store is opened, and what is broken is named.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use delta_core::check::{Check, SPACES, may_be_whole};
use delta_core::generations::Generation;
use delta_core::storage::Storage;
use delta_core::superblock::{ADVICE, Superblock};
use delta_core::{Error, ErrorKind};
use futures::StreamExt;

use crate::cli::progress;
use crate::config::Config;
use crate::secrets::Secrets;

use super::args::StoreArgs;
use super::report::{Report, headline};
use super::store::{self, Found, Place};

/// The exit code of a check that found something.
const DAMAGED: u8 = 2;

pub(crate) const EXAMPLES: &str = "\
The server must be stopped: a store that another process has open is refused. Without --quarantine and
--repair-superblock no object is changed; sidecars are made anew where they are missing or wrong, and temporary files
that a crash left are removed. `deltadb serve` needs no check before it starts: it refuses damage by itself.

Exit codes:
  0  everything opens, under the name it was written for
  1  the check could not run
  2  something is damaged, or cannot be read; with --quarantine also when all of it was moved aside

Examples:
  deltadb fsck --data-dir /var/lib/deltadb --master-key-file /etc/deltadb/master.key
  deltadb fsck --config /etc/deltadb.toml --json | jq -r 'select(.finding) | [.database, .key] | @tsv'
  deltadb fsck --dev --quarantine                  of a store that `serve --dev` made
  deltadb fsck --dev --repair-superblock           go back to the generation before a damaged one";

/// Arguments of `fsck`.
#[derive(Debug, Args)]
pub(crate) struct FsckArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Move what is damaged aside, so that its name is free; nothing is deleted
    #[arg(long, conflicts_with = "repair_superblock")]
    quarantine: bool,
    /// If the newest superblock is damaged, move it aside and go back to the one before it
    #[arg(long)]
    repair_superblock: bool,
    /// Print one JSON object a line: the findings, then a summary
    #[arg(long)]
    json: bool,
}

/// What may be changed, and how it is told.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    quarantine: bool,
    repair_superblock: bool,
    json: bool,
}

impl FsckArgs {
    /// Runs the check.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { store, quarantine, repair_superblock, json } = self;
        super::run(store, move |config, secrets| fsck(config, secrets, Wanted { quarantine, repair_superblock, json }))
    }
}

async fn fsck(config: Config, secrets: Secrets, wanted: Wanted) -> Result<ExitCode> {
    let place = Place::of(&config);
    place.exists()?;
    let mut report = Report::new(wanted.json);
    let storage = match place.open().await {
        Err(error) if error.kind() == ErrorKind::Damaged => {
            report.broken_other(
                &error,
                "keep a copy of the directory as it is; what it holds cannot be checked one by one",
            );
            report.end(&place.to_string(), None);
            return Ok(ExitCode::from(DAMAGED));
        }
        opened => opened?,
    };
    let superblock = superblock(&config, &secrets, &place, &storage, wanted, &mut report).await;
    let superblock = match superblock {
        Err(error) => {
            storage.close().await?;
            return Err(error);
        }
        Ok(superblock) => superblock,
    };
    if let Some(superblock) = &superblock {
        if !wanted.json {
            report.note(&headline(&place.to_string(), superblock));
        }
        let check = store::check(&config, &storage, superblock)?;
        objects(&check, &storage, wanted, &mut report).await?;
        strays(&*storage, &mut report).await;
    }
    storage.close().await?;
    report.end(&place.to_string(), superblock.as_ref());
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

/// The superblock that the objects are checked with: the newest, else one before it; `None` where none opens.
async fn superblock(
    config: &Config,
    secrets: &Secrets,
    place: &Place,
    storage: &Arc<dyn Storage>,
    wanted: Wanted,
    report: &mut Report,
) -> Result<Option<Superblock>> {
    let found = match store::superblocks(config, secrets, place, storage.clone()).await {
        Err(error) => match error.downcast::<Error>() {
            Ok(error) if error.kind() == ErrorKind::Damaged => {
                report.broken_other(&advised(&error), "restore it from a backup, nothing can be read without one");
                return Ok(None);
            }
            Ok(error) => return Err(error.into()),
            Err(error) => return Err(error),
        },
        Ok(found) => found,
    };
    let Found { storage, generations } = found;
    // The newest that is not certain to be damaged; one that only wants a key is not looked past.
    let usable = generations.iter().position(|generation| !generation.is_damaged());
    if let Some(Generation { opened: Err(error), number, .. }) = usable.and_then(|at| generations.get(at)) {
        bail!("superblock generation {number}: {error}");
    }
    let older = usable.and_then(|at| generations.get(at)?.opened.as_ref().ok());
    for (at, generation) in generations.iter().enumerate() {
        if let (true, Err(error)) = (generation.is_damaged(), &generation.opened) {
            let is_newer = usable.is_none_or(|usable| at < usable);
            let error =
                Error::damaged(format!("generation {}: {error}", generation.number)).with_code("damaged_superblock");
            report.broken_other(&error, &advice(is_newer, older, wanted));
        }
    }
    match usable {
        Some(0) if wanted.repair_superblock => {
            report.note("the newest superblock is whole; there is nothing to go back from")
        }
        Some(at) if wanted.repair_superblock => {
            for generation in generations.iter().take(at) {
                storage.quarantine(&generation.name()).await?;
            }
        }
        _ => {}
    }
    Ok(usable.and_then(|at| generations.into_iter().nth(at)?.opened.ok()))
}

/// The error without the advice to run this very command.
fn advised(error: &Error) -> Error {
    let line = error.to_string();
    Error::damaged(line.strip_suffix(ADVICE).unwrap_or(&line)).with_code("damaged_superblock")
}

/// What to do about a damaged superblock.
fn advice(is_newer: bool, older: Option<&Superblock>, wanted: Wanted) -> String {
    match (is_newer, older) {
        (true, Some(_)) if wanted.repair_superblock => "moved to _quarantine; the generation below counts now".into(),
        (true, Some(older)) => format!(
            "restore it from a backup, or go back with --repair-superblock to generation {}, whose active key is {}: what was \
             sealed under a newer key is locked until `serve` is given that key again",
            older.generation,
            older.keyring.active().id()
        ),
        (true, None) => "restore it from a backup, no other is whole, and nothing can be read without one".into(),
        (false, _) => "a newer one counts, so it is not needed".into(),
    }
}

/// Opens every object.
async fn objects(check: &Check, storage: &Arc<dyn Storage>, wanted: Wanted, report: &mut Report) -> Result<()> {
    report.bar = progress::spinner();
    if !report.bar.is_hidden() {
        report.bar.set_message("counting");
        // Names that cannot be read are told of below.
        if let Ok(total) = check.count().await {
            report.bar.finish_and_clear();
            report.bar = progress::bar(total, false);
        }
    }
    for space in SPACES {
        let mut checked = check.space(space);
        while let Some(checked) = checked.next().await {
            let checked = match checked {
                Ok(checked) => checked,
                Err(error) => {
                    report.broken_other(&error, "");
                    continue;
                }
            };
            report.bar.inc(1);
            match &checked.found {
                Ok(_) => report.whole(space),
                Err(error) => {
                    let move_it = wanted.quarantine && !may_be_whole(error);
                    if move_it {
                        storage.quarantine(&checked.name).await?;
                    }
                    report.broken_object(&checked, error, move_it);
                }
            }
        }
    }
    Ok(())
}

/// Looks at what lies beside the objects; what is derived or left over is put in order.
async fn strays(storage: &dyn Storage, report: &mut Report) {
    report.bar.set_message("what lies beside");
    let mut strays = storage.tidy();
    while let Some(stray) = strays.next().await {
        match stray {
            Ok(stray) => report.stray(&stray),
            Err(error) => report.broken_other(&error, ""),
        }
    }
}
