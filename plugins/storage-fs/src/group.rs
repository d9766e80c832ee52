//! Writes that share their steps: check all, write all temporary files, sync them, rename all, sync their directories.
//!
//! Whoever calls this holds the stripes of all the writes. Up to the rename a failure of one write is its own and changes
//! nothing; from there on its outcome is unknown, and after a failed sync of a directory nothing more may be written. The
//! surprise: where the file system allows, one `syncfs` makes the renames of a group durable and the new files of the next.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use delta_core::storage::{Revision, Space};
use delta_core::{Error, Result};
use rustix::fs::syncfs;

use crate::durable::{Durable, is_alive, make_durably, sync_directory};
use crate::failure::{again, failed, is_refusal, stopped, unknown, unreadable};
use crate::instance::Instance;
use crate::layout::{Layout, Place};
use crate::queue::{Change, Demand};
use crate::read;
use crate::sidecar::Sidecars;
use crate::stripes::{Held, Locks, Stripe};

/// What writing needs.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) layout: Layout,
    pub(crate) instance: Instance,
    pub(crate) durable: Durable,
    pub(crate) sidecars: Sidecars,
    pub(crate) temporaries: AtomicU64,
}

/// Writes that are visible and wait for a sync, and the stripes that are held for them.
#[derive(Default)]
pub(crate) struct Group {
    steps: Vec<Step>,
    locks: Locks,
}

impl Group {
    /// How many writes they are.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether a stripe is held for them.
    pub(crate) fn holds(&self, stripe: Stripe) -> bool {
        self.locks.contains_key(&stripe)
    }
}

/// One write on its way: what it came to, once that is known.
struct Step {
    demand: Demand,
    temporary: Option<(PathBuf, File)>,
    came_to: Option<Result<()>>,
}

impl Step {
    /// Takes the next step unless the write is over.
    fn go_on(&mut self, step: impl FnOnce(&Demand, &mut Option<(PathBuf, File)>) -> Result<Then>) {
        if self.came_to.is_none() {
            match step(&self.demand, &mut self.temporary) {
                Ok(Then::GoOn) => {}
                Ok(Then::Done) => self.came_to = Some(Ok(())),
                Err(error) => self.came_to = Some(Err(error)),
            }
        }
    }
}

/// Whether a write needs its further steps.
enum Then {
    GoOn,
    Done,
}

impl Writer {
    /// Does writes of different objects under the stripes that are held for them, and answers each. The error is that the
    /// store must not be written any more.
    pub(crate) fn write(&self, demands: Vec<Demand>, locks: &Locks) -> Result<(), String> {
        let mut steps = self.begin(demands);
        self.sync_data(&mut steps, None);
        self.change(&mut steps, locks);
        let synced = self.sync_directories(&mut steps, None);
        self.finish(steps);
        synced.and_then(|()| self.durable.trusted())
    }

    /// Syncs the whole file system, of which the store's directory is given, once for two groups: those that are visible are
    /// answered, and the next become so. The error is that the store must not be written any more.
    pub(crate) fn write_on(
        &self,
        mut visible: Group,
        demands: Vec<Demand>,
        locks: Locks,
        root: &File,
    ) -> (Group, Result<(), String>) {
        let mut next = self.begin(demands);
        let whole = sync_all_of(root);
        let synced = self.sync_directories(&mut visible.steps, Some(&whole));
        self.finish(visible.steps);
        drop(visible.locks);
        let go_on = synced.and_then(|()| self.durable.trusted());
        if let Err(why) = &go_on {
            next.iter_mut().for_each(|step| step.go_on(|_, _| Err(stopped(why))));
        }
        self.sync_data(&mut next, Some(&whole));
        self.change(&mut next, &locks);
        let (steps, over) = next.into_iter().partition(|step| step.came_to.is_none());
        self.finish(over);
        (Group { steps, locks }, go_on)
    }

    /// Checks all, and prepares what they become.
    fn begin(&self, demands: Vec<Demand>) -> Vec<Step> {
        let start = |demand| Step { demand, temporary: None, came_to: None };
        let mut steps: Vec<_> = demands.into_iter().map(start).collect();
        for step in &mut steps {
            step.go_on(|demand, _| check(demand));
            step.go_on(|demand, temporary| self.prepare(demand, temporary));
        }
        steps
    }

    /// Writes the new image into a temporary file of the same directory.
    fn prepare(&self, demand: &Demand, temporary: &mut Option<(PathBuf, File)>) -> Result<Then> {
        let Change::Put(image) = &demand.change else { return Ok(Then::GoOn) };
        let directory = &demand.place.directory;
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(self.instance.temporary(number));
        let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        self.ensure(&demand.place).map_err(|error| failed("make the directory", directory, error))?;
        let file = match create() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Somebody removed the directory behind our back.
                self.durable.forget();
                self.ensure(&demand.place).and_then(|()| create())
            }
            created => created,
        };
        let file = file.map_err(|error| failed("create a file in", directory, error))?;
        let (path, file) = temporary.insert((path, file));
        file.write_all(image).map_err(|error| failed("write", path, error))?;
        Ok(Then::GoOn)
    }

    fn ensure(&self, place: &Place) -> io::Result<()> {
        self.durable.ensure(&self.layout.space(place.name.space), &place.directory)
    }

    /// Makes the changes visible, unless a stripe was lost.
    fn change(&self, steps: &mut [Step], locks: &Locks) {
        if locks.values().any(Held::is_lost) {
            let message = "the lock files were removed while writing; nothing was written, restart the server";
            steps.iter_mut().for_each(|step| step.go_on(|_, _| Err(Error::unavailable(message))));
        }
        steps.iter_mut().for_each(|step| step.go_on(|demand, temporary| self.apply(demand, temporary.as_ref())));
    }

    /// Makes one change visible.
    fn apply(&self, demand: &Demand, temporary: Option<&(PathBuf, File)>) -> Result<Then> {
        let path = &demand.place.path;
        match (&demand.change, temporary) {
            (Change::Put(image), Some((temporary, _))) => match fs::rename(temporary, path) {
                Err(error) if is_refusal(&error) => Err(failed("replace", path, error)),
                // On a network file system the answer may have got lost: what is there now tells.
                Err(error) if !is_there(demand.place.name.space, path, &Revision::of(image)) => {
                    Err(unknown("replace", path, &error))
                }
                _ => Ok(Then::GoOn),
            },
            (Change::Put(_), None) => Err(Error::internal("a write has no temporary file")),
            (Change::Delete, _) => match fs::remove_file(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Then::GoOn),
                Err(error) if is_refusal(&error) => Err(failed("remove", path, error)),
                Err(error) => Err(unknown("remove", path, &error)),
                Ok(()) => Ok(Then::GoOn),
            },
            (Change::Quarantine, _) => self.put_aside(&demand.place),
        }
    }

    /// Moves a file into the directory of what was put aside, beside earlier ones of the same name.
    fn put_aside(&self, place: &Place) -> Result<Then> {
        let within = place.path.strip_prefix(self.layout.root()).unwrap_or(&place.path);
        let flat = within.to_string_lossy().trim_start_matches('/').replace('/', "+");
        let directory = self.layout.quarantine();
        make_durably(&directory).map_err(|error| failed("make the directory", &directory, error))?;
        let free =
            (0..u32::MAX).map(|number| directory.join(format!("{number:04}+{flat}"))).find(|path| !path.exists());
        let free = free.ok_or_else(|| Error::unavailable(format!("{} is full", directory.display())))?;
        fs::rename(&place.path, &free).map_err(|error| match is_refusal(&error) {
            true => failed("move", &place.path, error),
            false => unknown("move", &place.path, &error),
        })?;
        sync_directory(&directory).map_err(|error| unknown("sync", &directory, &error))?;
        Ok(Then::GoOn)
    }

    /// Makes the temporary files durable, those that a sync of the whole file system did not; a failure changes nothing.
    fn sync_data(&self, steps: &mut [Step], whole: Option<&io::Result<()>>) {
        for step in steps {
            step.go_on(|demand, temporary| {
                let path = &demand.place.path;
                let synced = match (temporary, whole) {
                    (None, _) => Ok(()),
                    (Some(_), Some(Ok(()))) if path.starts_with(self.layout.root()) => Ok(()),
                    (Some(_), Some(Err(error))) => Err(repeated(error)),
                    (Some((_, file)), _) => file.sync_data(),
                };
                synced.map_err(|error| failed("sync the new state of", path, error)).map(|()| Then::GoOn)
            });
        }
    }

    /// Makes the changes durable, those that a sync of the whole file system did not; after a failure nobody knows what the
    /// disk holds.
    fn sync_directories(&self, steps: &mut [Step], whole: Option<&io::Result<()>>) -> Result<(), String> {
        let open = |step: &&Step| step.came_to.is_none();
        let mut directories: BTreeSet<_> =
            steps.iter().filter(open).map(|step| step.demand.place.directory.clone()).collect();
        let mut results = BTreeMap::new();
        if let (Some(whole), false) = (whole, directories.is_empty()) {
            directories.retain(|directory| !directory.starts_with(self.layout.root()));
            let synced = whole.as_ref().copied().map_err(|error| unknown("sync", self.layout.root(), error));
            results.insert(self.layout.root().to_owned(), synced);
        }
        for directory in directories {
            let synced = sync_directory(&directory).map_err(|error| unknown("sync", &directory, &error));
            results.insert(directory, synced);
        }
        for step in steps.iter_mut() {
            step.go_on(|demand, _| {
                let own = results.get(&demand.place.directory).or_else(|| results.get(self.layout.root()));
                match own {
                    Some(Ok(())) => Ok(Then::Done),
                    Some(Err(error)) => Err(again(error)),
                    None => Err(Error::internal("the directory of a write was not synced")),
                }
            });
        }
        let failure = results.into_values().find_map(Result::err);
        failure.map_or(Ok(()), |error| Err(error.to_string()))
    }

    /// Removes what is left of failed writes, and answers all.
    fn finish(&self, steps: Vec<Step>) {
        for step in steps {
            let came_to = step.came_to.unwrap_or_else(|| Err(Error::internal("a write came to nothing")));
            if let (Err(_), Some((path, _))) = (&came_to, &step.temporary) {
                // After a rename it is gone already.
                drop(fs::remove_file(path));
            }
            if came_to.is_ok() {
                self.sidecars.renew(&step.demand.place);
            }
            step.demand.answer(came_to);
        }
    }
}

/// Refuses a write that does not find what it demands; a removal of nothing is done where nothing ever was.
///
/// Elsewhere whoever removed it may have died before that was durable, so the directory is synced all the same.
fn check(demand: &Demand) -> Result<Then> {
    let place = &demand.place;
    let found = read::head(place.name.space, &place.path).map_err(|error| unreadable(&place.path, error))?;
    if !demand.expect.holds(found.as_ref().map(|head| &head.revision)) {
        return Err(Error::conflict("the object is not in the expected state"));
    }
    match (&demand.change, found) {
        (Change::Quarantine, None) => Ok(Then::Done),
        (Change::Delete, None) if !place.directory.exists() => Ok(Then::Done),
        _ => Ok(Then::GoOn),
    }
}

/// Syncs a whole file system. Its directory is synced after it: ext4 without a journal has the disk empty its cache before the
/// last of the metadata is written, and only the sync of a file or directory does so once more.
fn sync_all_of(root: &File) -> io::Result<()> {
    syncfs(root)?;
    root.sync_all()?;
    is_alive(root)
}

/// The same error once more: it concerns several writes.
fn repeated(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// Whether the object in a file is the one with this revision.
fn is_there(space: Space, path: &Path, revision: &Revision) -> bool {
    matches!(read::head(space, path), Ok(Some(head)) if head.revision == *revision)
}
