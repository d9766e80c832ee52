//! Opening a store, and refusing one that has lost something.
//!
//! The last committed number is known from outside the tree, so a log that ends before it is noticed. What is damaged is
//! left as it was found: the log and the lists of tables are looked at before the tree, which would cut the one and believe the
//! other, may open them.

use std::io::ErrorKind;

use delta_core::{Error, Result};

use crate::config::Config;
use crate::directory::Directory;
use crate::journal::{self, Torn};
use crate::lists;
use crate::sequence::SequenceFile;
use crate::tree::{KEYSPACES, Tree};

/// An open store, whole as far as it can be told.
pub(crate) struct Recovered {
    pub(crate) tree: Tree,
    pub(crate) sequence: SequenceFile,
    /// The number of the last commit.
    pub(crate) number: u64,
}

/// Opens the store in a directory, or makes it; the error names the directory.
pub(crate) fn open(directory: &Directory, config: &Config) -> Result<Recovered> {
    let at = |error: Error| error.context(format_args!("cannot make a store in {}", directory.place()));
    let cannot = |error: std::io::Error| at(Error::unavailable(format!("{error}; check its owner, mode and disk")));
    if directory.has_store().map_err(cannot)? {
        return recover(directory, config);
    }
    directory.make_room().map_err(cannot)?;
    // Used as it is: a log that is opened again is no longer allocated ahead, and costs one more disk write a commit.
    let tree = Tree::open(&directory.tree(), config).map_err(at)?;
    directory.finish().map_err(cannot)?;
    let (sequence, number) = SequenceFile::open(&directory.sequence()).map_err(cannot)?;
    Ok(Recovered { tree, sequence, number })
}

fn recover(directory: &Directory, config: &Config) -> Result<Recovered> {
    let at = |error: Error| error.context(format_args!("cannot open the store in {}", directory.place()));
    let damaged = |why: String| {
        let place = directory.place();
        let advice = "nothing was changed; restore a backup";
        Error::damaged(format!("the store in {place} is damaged: {why}; {advice}")).with_code("damaged_store")
    };
    let io = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| match error.kind() {
            ErrorKind::InvalidData | ErrorKind::NotFound => damaged(format!("{what}: {error}")),
            _ => at(Error::unavailable(format!("{what}: {error}"))),
        }
    };
    let (sequence, noted) = SequenceFile::open(&directory.sequence()).map_err(io("its last commit's number"))?;
    let survey = journal::survey(&directory.tree()).map_err(io("its log"))?;
    let tables = lists::survey(&directory.tree(), KEYSPACES).map_err(io("its tables"))?;
    if let Some(torn) = &survey.torn {
        if may_be_cut(torn, survey.last, noted) {
            torn.cut().map_err(io("its log"))?;
        } else {
            let from = format!("from byte {} of {} on", torn.at, torn.file.display());
            return Err(damaged(format!("{}, {from}", lost(survey.last, noted))));
        }
    }
    let opened = Tree::open(&directory.tree(), config).and_then(|tree| Ok((tree.sequence()?, tree)));
    let (number, tree) = opened.map_err(|error| match error.kind() {
        // The tree does not say which file it is.
        delta_core::ErrorKind::Damaged => damaged(lists::first_damaged(&tables).unwrap_or_else(|| error.to_string())),
        _ => at(error),
    })?;
    if number < noted || survey.last.is_some_and(|last| last != number) {
        return Err(damaged(lost(Some(number), noted.max(survey.last.unwrap_or_default()))));
    }
    Ok(Recovered { tree, sequence, number })
}

/// Whether the torn end of a log holds nothing that was ever acknowledged.
fn may_be_cut(torn: &Torn, last: Option<u64>, noted: u64) -> bool {
    match last {
        Some(last) => last >= noted,
        // All before it has left the log for tables.
        None => noted == 0 || torn.number.is_some_and(|number| number > noted),
    }
}

fn lost(found: Option<u64>, committed: u64) -> String {
    let found = found.map_or_else(|| "before its first commit".into(), |found| format!("at commit {found}"));
    format!("its log ends {found}, and {committed} were acknowledged")
}
