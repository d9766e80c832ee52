//! The storage: names and objects as files.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use delta_core::storage::{
    Capabilities, Expect, Group, Listed, Object, ObjectName, Revision, Space, Storage, Stored, StoredHead, Stray, Write,
};
use delta_core::{Error, Result};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};

use crate::committer::Committer;
use crate::config::{Access, Config};
use crate::directory::Directory;
use crate::durable::Durable;
use crate::failure::unreadable;
use crate::group::Writer;
use crate::instance::{Instance, sweep};
use crate::layout::{Layout, Place};
use crate::queue::Change;
use crate::sidecar::Sidecars;
use crate::{listing, mount, read, tidy};

/// How many chunks of a listing wait for a slow reader.
const CHUNKS_AHEAD: usize = 2;
/// How many strays wait for a slow reader.
const STRAYS_AHEAD: usize = 64;

/// The open store.
pub struct FsStorage {
    committer: Arc<Committer>,
    /// A permit for each async thread that may be blocked: one fewer than there are.
    inline: Arc<Semaphore>,
    /// Whether the file system is one of this machine, of which the kernel knows what it has in memory.
    is_local: bool,
    access: Access,
    /// The removal of what dead processes left, and how much it was.
    sweeping: Mutex<Option<JoinHandle<u64>>>,
    /// Released last.
    directory: Directory,
}

impl fmt::Debug for FsStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FsStorage({}, {:?})", self.layout().root().display(), self.access)
    }
}

impl FsStorage {
    /// Opens the store in a directory, or makes it.
    pub fn open(config: &Config) -> Result<Self> {
        config.check()?;
        let directory = Directory::open(config)?;
        let layout = directory.layout.clone();
        let instance = Instance::register(&layout.locks()).map_err(|error| unreadable(&layout.locks(), error))?;
        let sweeping = Mutex::new(sweep_in_background(layout.clone()));
        let sidecars = Sidecars::start(config.sidecar, instance.temporary_prefix())?;
        let (durable, temporaries) = (Durable::default(), AtomicU64::new(0));
        let whole = mount::whole_file_system(layout.root()).map_err(|error| unreadable(layout.root(), error))?;
        let is_local = whole.is_some();
        let writer = Writer { layout, instance, durable, sidecars, temporaries };
        let threads = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        let inline = Arc::new(Semaphore::new(threads.saturating_sub(1)));
        let committer = Arc::new(Committer::start(writer, config, inline.clone())?);
        Ok(Self { committer, inline, is_local, access: config.access, sweeping, directory })
    }

    fn layout(&self) -> &Layout {
        &self.directory.layout
    }

    /// Runs a read of one object: here where memory answers it, or while another async thread stays free; else off them.
    ///
    /// A read of a file in memory takes a few microseconds, and handing it to another thread many times that; but one that
    /// waits for a disk or another machine must not stop the others.
    async fn read<T: Send + 'static>(
        &self,
        name: &ObjectName,
        in_memory: impl Fn(&Place) -> Option<Option<T>>,
        read: impl Fn(&Place) -> io::Result<Option<T>> + Send + 'static,
    ) -> Result<Option<T>> {
        let place = self.layout().place(name)?;
        if self.is_local
            && let Some(found) = in_memory(&place)
        {
            return Ok(found);
        }
        if let Ok(_permit) = self.inline.try_acquire() {
            return read(&place).map_err(|error| unreadable(&place.path, error));
        }
        blocking(move || read(&place).map_err(|error| unreadable(&place.path, error))).await
    }
}

/// Runs something that blocks off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::unavailable("a read was cut short").with_source(error)))
}

/// Removes what dead processes left; the store is used meanwhile.
fn sweep_in_background(layout: Layout) -> Option<JoinHandle<u64>> {
    let sweep = move || match sweep(&layout) {
        Ok(0) => 0,
        Ok(removed) => {
            tracing::info!(removed, "temporary files of dead processes were removed");
            removed
        }
        Err(error) => {
            tracing::warn!(%error, "temporary files of dead processes were not all removed");
            0
        }
    };
    // Without it they stay until the next start.
    std::thread::Builder::new().name("sweep".into()).spawn(sweep).ok()
}

#[async_trait]
impl Storage for FsStorage {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            shared: self.access != Access::Alone,
            conditional_delete: true,
            atomic_batch: false,
            durable: true,
            hand_made_schemas: true,
        }
    }

    async fn get(&self, name: &ObjectName) -> Result<Option<Stored>> {
        self.read(name, |place| read::object_in_memory(&place.path), |place| read::object(&place.path)).await
    }

    async fn head(&self, name: &ObjectName) -> Result<Option<StoredHead>> {
        let in_memory = |place: &Place| read::head_in_memory(place.name.space, &place.path);
        self.read(name, in_memory, |place| read::head(place.name.space, &place.path)).await
    }

    async fn put(&self, name: &ObjectName, object: &Object, expect: &Expect) -> Result<Revision> {
        self.committer.one(name, Change::Put(object.bytes().clone()), expect).await?;
        Ok(object.revision())
    }

    async fn delete(&self, name: &ObjectName, expect: &Expect) -> Result<()> {
        self.committer.one(name, Change::Delete, expect).await
    }

    async fn write_batch(&self, writes: Vec<Write>) -> Result<Vec<Result<Option<Revision>>>> {
        let revisions: Vec<_> = writes.iter().map(|write| write.object.as_ref().map(Object::revision)).collect();
        let change = |object: Option<Object>| match object {
            Some(object) => Change::Put(object.bytes().clone()),
            None => Change::Delete,
        };
        let writes = writes.into_iter().map(|write| (write.name, change(write.object), write.expect)).collect();
        let answers = self.committer.all(writes).await?;
        Ok(answers.into_iter().zip(revisions).map(|(answer, revision)| answer.map(|()| revision)).collect())
    }

    fn list(&self, space: Space, group: &Group) -> BoxStream<'_, Result<Listed>> {
        let (layout, group) = (self.layout().clone(), group.clone());
        let (to, from) = mpsc::channel(CHUNKS_AHEAD);
        tokio::task::spawn_blocking(move || listing::list(&layout, space, &group, to));
        let chunks = stream::unfold(from, |mut from| async move {
            let chunk = from.recv().await?;
            let chunk = chunk.map(|listed| stream::iter(listed.into_iter().map(Ok)));
            Some((chunk.map_err(|(path, error): (PathBuf, _)| unreadable(&path, error)), from))
        });
        chunks.try_flatten().boxed()
    }

    async fn groups(&self, space: Space) -> Result<Vec<Group>> {
        let layout = self.layout().clone();
        blocking(move || listing::groups(&layout, space).map_err(|error| unreadable(&layout.space(space), error))).await
    }

    async fn quarantine(&self, name: &ObjectName) -> Result<()> {
        self.committer.one(name, Change::Quarantine, &Expect::Anything).await
    }

    fn tidy(&self) -> BoxStream<'_, Result<Stray>> {
        let (to, from) = mpsc::channel(STRAYS_AHEAD);
        let committer = self.committer.clone();
        let sweeping = self.sweeping.lock().unwrap_or_else(PoisonError::into_inner).take();
        tokio::task::spawn_blocking(move || {
            let swept = sweeping.and_then(|sweeping| sweeping.join().ok()).unwrap_or(0);
            tidy::tidy(committer.writer(), swept, to);
        });
        stream::unfold(from, |mut from| async move { from.recv().await.map(|stray| (stray, from)) }).boxed()
    }

    async fn ready(&self) -> Result<()> {
        self.committer.ready()?;
        let directory = self.layout().space(Space::Store);
        blocking(move || directory.read_dir().map(drop).map_err(|error| unreadable(&directory, error))).await
    }

    async fn close(&self) -> Result<()> {
        let committer = self.committer.clone();
        let closed = tokio::task::spawn_blocking(move || committer.close()).await;
        closed.map_err(|error| Error::internal("closing the store was cut short").with_source(error))
    }
}
