//! What lies beside the objects, looked at while nobody else has the store: leftovers, sidecars, and files of others.
//!
//! What is foreign is told of and left alone. Objects are only read; whether they are whole is not asked here.

use std::cell::RefCell;
use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use delta_core::storage::{Group, ObjectName, Space, Stray, StrayKind};
use delta_core::{Error, Result};
use tokio::sync::mpsc::Sender;

use crate::failure::unreadable;
use crate::group::Writer;
use crate::instance::Sweep;
use crate::layout::{Layout, has_groups, name_of, object_of_sidecar, shard_of};

/// What may lie in the directory of a store beside its spaces.
const BESIDE: [&str; 3] = ["_locks", "_quarantine", "lost+found"];

/// A walk through a store; each thing that is found is sent.
pub(crate) struct Tidy<'a> {
    writer: &'a Writer,
    sweep: RefCell<Sweep>,
    to: Sender<Result<Stray>>,
}

/// Nobody listens any more.
struct NobodyListens;

type Walked = Result<(), NobodyListens>;

/// Puts a store in order; `swept` temporary files are gone already. Blocks.
pub(crate) fn tidy(writer: &Writer, swept: u64, to: Sender<Result<Stray>>) {
    let tidy = Tidy { writer, sweep: RefCell::new(Sweep::new(&writer.layout)), to };
    // It ends early only if nobody listens.
    drop(tidy.all(swept));
}

impl Tidy<'_> {
    fn all(&self, swept: u64) -> Walked {
        for _ in 0..swept {
            self.tell(&self.writer.layout.locks(), StrayKind::Leftover)?;
        }
        self.root()?;
        Space::ALL.into_iter().try_for_each(|space| self.space(space))
    }

    fn layout(&self) -> &Layout {
        &self.writer.layout
    }

    fn root(&self) -> Walked {
        let root = self.layout().root().to_owned();
        let spaces = Space::ALL.map(Space::as_str);
        self.each(&root, |entry| {
            let name = entry.file_name();
            let ours = name.to_str().is_some_and(|name| spaces.contains(&name) || BESIDE.contains(&name));
            if ours { Ok(()) } else { self.tell(&entry.path(), StrayKind::Foreign) }
        })
    }

    fn space(&self, space: Space) -> Walked {
        let directory = self.layout().space(space);
        self.each(&directory, |entry| {
            if is_directory(&entry) {
                let grouped = has_groups(space);
                return if grouped { self.group(space, &entry) } else { self.tell(&entry.path(), StrayKind::Foreign) };
            }
            self.file(space, &entry, |file| {
                let group = Layout::group_of_file(space, file)?;
                let name = name_of(space, file)?.strip_prefix(&*Layout::prefix_of(space, &group))?.into();
                Some(ObjectName { space, group, name, sealed: false })
            })
        })
    }

    /// The directories by shard of a group whose names are sealed.
    fn group(&self, space: Space, directory: &DirEntry) -> Walked {
        let group = directory.file_name().to_str().map(Layout::group_of_directory).unwrap_or_default();
        self.each(&directory.path(), |shard| {
            if !is_directory(&shard) {
                return self.tell(&shard.path(), StrayKind::Foreign);
            }
            self.each(&shard.path(), |entry| {
                self.file(space, &entry, |file| sealed(space, &group, &shard, name_of(space, file)?))
            })
        })
    }

    /// One file, of which `named` says what object it would be.
    fn file(&self, space: Space, entry: &DirEntry, named: impl Fn(&str) -> Option<ObjectName>) -> Walked {
        let path = entry.path();
        let found = match entry.file_name().to_str() {
            None => Ok(Some(StrayKind::Foreign)),
            Some(file) => self.kind(space, entry, file, named(file)),
        };
        match found {
            Ok(Some(kind)) => self.tell(&path, kind),
            Ok(None) => Ok(()),
            // The sidecars of what was written or put aside a moment ago come and go by themselves.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => self.send(Err(unreadable(&path, error))),
        }
    }

    fn kind(
        &self,
        space: Space,
        entry: &DirEntry,
        file: &str,
        named: Option<ObjectName>,
    ) -> io::Result<Option<StrayKind>> {
        if is_directory(entry) {
            return Ok(Some(StrayKind::Foreign));
        }
        if Sweep::is_temporary(file) {
            return Ok(self.sweep.borrow_mut().file(entry)?.then_some(StrayKind::Leftover));
        }
        let place = named.and_then(|name| self.layout().place(&name).ok()).filter(|place| place.path == entry.path());
        match (place, object_of_sidecar(file).filter(|_| space == Space::Entities)) {
            (Some(place), _) if space == Space::Entities => self.writer.sidecars.mend(&place),
            (Some(_), _) => Ok(None),
            (None, Some(object)) => orphan(entry, &object),
            (None, None) => Ok(Some(StrayKind::Foreign)),
        }
    }

    fn each(&self, directory: &Path, mut see: impl FnMut(DirEntry) -> Walked) -> Walked {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return self.send(Err(unreadable(directory, error))),
            Ok(entries) => entries,
        };
        for entry in entries {
            match entry {
                Ok(entry) => see(entry)?,
                Err(error) => return self.send(Err(unreadable(directory, error))),
            }
        }
        Ok(())
    }

    fn tell(&self, place: &Path, kind: StrayKind) -> Walked {
        self.send(Ok(Stray { place: place.display().to_string(), kind }))
    }

    fn send(&self, stray: Result<Stray, Error>) -> Walked {
        self.to.blocking_send(stray).map_err(|_| NobodyListens)
    }
}

/// The object of a sealed name, if it lies in its shard.
fn sealed(space: Space, group: &Group, shard: &DirEntry, name: &str) -> Option<ObjectName> {
    let here = shard.file_name().to_str() == shard_of(name).map(String::from).as_deref();
    here.then(|| ObjectName { space, group: group.clone(), name: name.into(), sealed: true })
}

/// Removes a sidecar whose object is not there.
fn orphan(sidecar: &DirEntry, object: &str) -> io::Result<Option<StrayKind>> {
    if sidecar.path().with_file_name(object).try_exists()? {
        return Ok(None);
    }
    fs::remove_file(sidecar.path()).map(|()| Some(StrayKind::Orphan))
}

fn is_directory(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir())
}
