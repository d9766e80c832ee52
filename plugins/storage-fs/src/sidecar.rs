//! The derived view beside each entity, for people and tools: the engine never reads it, so it may be late or missing.
//!
//! It is made from the object that lies there when it is made, so of two processes the later one is right, whoever wrote first.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use delta_core::seal;
use delta_core::storage::{Space, StrayKind};
use delta_core::{Error, Result};

use crate::config::Sidecar;
use crate::layout::{Place, sidecar_of};
use crate::read;

/// How long a sidecar may be late.
const LATE: Duration = Duration::from_millis(50);
/// How many sidecars may be late; one more is written at once.
const PENDING_MAX: usize = 65_536;

/// The sidecars of a store.
#[derive(Debug)]
pub(crate) struct Sidecars {
    when: Sidecar,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
    /// How the names of this instance's temporary files begin.
    temporary: String,
    temporaries: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    places: HashSet<Place>,
    closed: bool,
}

impl Sidecars {
    /// Sidecars that are written at the given time, under temporary names that begin like this.
    pub(crate) fn start(when: Sidecar, temporary: String) -> Result<Self> {
        let shared = Arc::new(Shared {
            pending: Mutex::default(),
            changed: Condvar::new(),
            temporary,
            temporaries: AtomicU64::new(0),
        });
        let mut thread = None;
        if when == Sidecar::Lazy {
            let working = shared.clone();
            let started = std::thread::Builder::new().name("sidecars".into()).spawn(move || working.run());
            thread = Some(started.map_err(|error| Error::unavailable("cannot start a thread").with_source(error))?);
        }
        Ok(Self { when, shared, thread: Mutex::new(thread) })
    }

    /// Sees to it that the sidecar of an object that was just written or removed becomes what it should be.
    pub(crate) fn renew(&self, place: &Place) {
        if place.name.space != Space::Entities {
            return;
        }
        match self.when {
            Sidecar::Off => {}
            Sidecar::Sync => self.shared.write(place),
            Sidecar::Lazy if !self.shared.postpone(place) => self.shared.write(place),
            Sidecar::Lazy => {}
        }
    }

    /// Makes the sidecar of an object at rest what it should be; says what was wrong with it. Nothing is derived from what is
    /// no whole object.
    pub(crate) fn mend(&self, place: &Place) -> io::Result<Option<StrayKind>> {
        let Some(path) = sidecar_of(place) else { return Ok(None) };
        let object = read::object(&place.path)?;
        let Some(wanted) = object.and_then(|object| seal::sidecar(&place.name, &object.bytes)) else { return Ok(None) };
        let found = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            found => Some(found?),
        };
        match (found, self.when) {
            (Some(found), _) if found == wanted => Ok(None),
            (None, Sidecar::Off) => Ok(None),
            (Some(_), Sidecar::Off) => fs::remove_file(&path).map(|()| Some(StrayKind::Orphan)),
            (_, Sidecar::Lazy | Sidecar::Sync) => self.shared.try_write(place).map(|()| Some(StrayKind::Renewed)),
        }
    }

    /// Writes what is late, and stops. Blocks.
    pub(crate) fn close(&self) {
        self.shared.pending().closed = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(thread.map(JoinHandle::join));
    }
}

impl Shared {
    fn run(&self) {
        loop {
            let mut pending = self.pending();
            while pending.places.is_empty() && !pending.closed {
                pending = self.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
            }
            if !pending.closed {
                // Several writes of one entity within this time make one sidecar.
                let waited = self.changed.wait_timeout_while(pending, LATE, |pending| !pending.closed);
                pending = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            let (places, closed) = (std::mem::take(&mut pending.places), pending.closed);
            drop(pending);
            places.iter().for_each(|place| self.write(place));
            if closed {
                return;
            }
        }
    }

    /// Notes an object for later; false where too much is late already.
    fn postpone(&self, place: &Place) -> bool {
        let mut pending = self.pending();
        if pending.closed || pending.places.len() >= PENDING_MAX {
            return false;
        }
        let is_first = pending.places.is_empty();
        pending.places.insert(place.clone());
        drop(pending);
        if is_first {
            self.changed.notify_all();
        }
        true
    }

    fn write(&self, place: &Place) {
        if let Err(error) = self.try_write(place) {
            // It is derived: `deltadb fsck` makes it anew.
            tracing::debug!(%error, "a sidecar was not written");
        }
    }

    fn try_write(&self, place: &Place) -> io::Result<()> {
        let Some(path) = sidecar_of(place) else { return Ok(()) };
        let object = read::object(&place.path)?;
        let Some(json) = object.and_then(|object| seal::sidecar(&place.name, &object.bytes)) else {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            };
        };
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        let temporary = place.directory.join(format!("{}s{number}", self.temporary));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let renamed = file.write_all(&json).and_then(|()| fs::rename(&temporary, &path));
        renamed.inspect_err(|_| drop(fs::remove_file(&temporary)))
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
