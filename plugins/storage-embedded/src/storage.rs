//! The storage: names and objects as keys and values of the tree.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use delta_core::storage::{
    Capabilities, Expect, Group, Listed, Object, ObjectName, Revision, Space, Storage, Stored, StoredHead, Write,
};
use delta_core::{Error, Result};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::committer::Committer;
use crate::config::Config;
use crate::directory::Directory;
use crate::listing::{self, Chunk};
use crate::queue::{Demand, Queue};
use crate::recovery;
use crate::tree::{Change, Shelf, Tree, object_key};

/// How many threads read at the same time: more of them make no disk quicker, and each keeps memory of its own.
const READERS_MAX: usize = 16;

/// The open store.
pub struct EmbeddedStorage {
    committer: Arc<Committer>,
    tree: Tree,
    /// A permit for each async thread that may be blocked: one fewer than there are.
    inline: Arc<Semaphore>,
    /// A permit for each thread that reads.
    readers: Semaphore,
    /// Released last.
    directory: Directory,
}

impl fmt::Debug for EmbeddedStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmbeddedStorage({})", self.directory.place())
    }
}

impl EmbeddedStorage {
    /// Opens the store in a directory, or makes it. Blocks for as long as recovery takes.
    pub fn open(config: &Config) -> Result<Self> {
        config.check()?;
        let directory = Directory::take(&config.path)?;
        let recovered = recovery::open(&directory, config)?;
        let tree = recovered.tree.clone();
        let threads = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        let inline = Arc::new(Semaphore::new(threads.saturating_sub(1)));
        let committer = Arc::new(Committer::start(recovered, Queue::new(config), inline.clone())?);
        Ok(Self { committer, tree, inline, readers: Semaphore::new(READERS_MAX), directory })
    }

    /// Runs a read of one object: here while another async thread stays free, else off the async threads.
    ///
    /// A read that memory answers takes a microsecond, and handing it to another thread many times that; but one that waits
    /// for the disk must not stop the others.
    async fn get_image(&self, name: &ObjectName) -> Result<Option<bytes::Bytes>> {
        let (shelf, key) = (Shelf::Of(name.space), object_key(name)?);
        if let Ok(_permit) = self.inline.try_acquire() {
            return self.tree.get(shelf, &key);
        }
        self.blocking(move |tree| tree.get(shelf, &key)).await
    }

    /// Runs something that blocks off the async threads.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Tree) -> Result<T> + Send + 'static) -> Result<T> {
        let tree = self.tree.clone();
        let _permit = self.readers.acquire().await;
        let done = tokio::task::spawn_blocking(move || work(&tree)).await;
        done.unwrap_or_else(|error| Err(Error::unavailable("a read was cut short").with_source(error)))
    }
}

fn demand(name: &ObjectName, object: Option<&Object>, expect: Expect) -> Result<Demand> {
    let to = object.map(|object| (object.bytes().clone(), object.revision()));
    if to.as_ref().is_some_and(|(image, _)| u32::try_from(image.len()).is_err()) {
        return Err(Error::too_large("an object of 4 GiB or more cannot be kept"));
    }
    Ok(Demand { change: Change { shelf: Shelf::Of(name.space), key: object_key(name)?, to }, expect })
}

#[async_trait]
impl Storage for EmbeddedStorage {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            shared: false,
            conditional_delete: true,
            atomic_batch: true,
            durable: true,
            hand_made_schemas: false,
        }
    }

    async fn get(&self, name: &ObjectName) -> Result<Option<Stored>> {
        let image = self.get_image(name).await?;
        Ok(image.map(|bytes| Stored { revision: Revision::of(&bytes), bytes }))
    }

    async fn head(&self, name: &ObjectName) -> Result<Option<StoredHead>> {
        let image = self.get_image(name).await?;
        Ok(image.map(|start| StoredHead { size_bytes: start.len() as u64, revision: Revision::of(&start), start }))
    }

    async fn put(&self, name: &ObjectName, object: &Object, expect: &Expect) -> Result<Revision> {
        let revision = object.revision();
        self.committer.one(demand(name, Some(object), expect.clone())?).await?;
        Ok(revision)
    }

    async fn delete(&self, name: &ObjectName, expect: &Expect) -> Result<()> {
        self.committer.one(demand(name, None, expect.clone())?).await
    }

    async fn write_batch(&self, writes: Vec<Write>) -> Result<Vec<Result<Option<Revision>>>> {
        let revisions: Vec<_> = writes.iter().map(|write| write.object.as_ref().map(Object::revision)).collect();
        let demands = writes.into_iter().map(|write| demand(&write.name, write.object.as_ref(), write.expect));
        let answers = self.committer.all(demands.collect::<Result<_>>()?).await?;
        Ok(answers.into_iter().zip(revisions).map(|(answer, revision)| answer.map(|()| revision)).collect())
    }

    fn list(&self, space: Space, group: &Group) -> BoxStream<'_, Result<Listed>> {
        let group = group.clone();
        let chunks = stream::try_unfold(Some(listing::start(&group)), move |from| {
            let group = group.clone();
            async move {
                let Some(from) = from else { return Ok::<_, Error>(None) };
                let read = move |tree: &Tree| listing::chunk(tree.keyspace(Shelf::Of(space)), &group, from);
                let Chunk { listed, next } = self.blocking(read).await?;
                Ok(Some((stream::iter(listed.into_iter().map(Ok)), next)))
            }
        });
        chunks.try_flatten().boxed()
    }

    async fn groups(&self, space: Space) -> Result<Vec<Group>> {
        self.blocking(move |tree| listing::groups(tree.keyspace(Shelf::Of(space)))).await
    }

    async fn quarantine(&self, name: &ObjectName) -> Result<()> {
        let Some(image) = self.get_image(name).await? else { return Ok(()) };
        let revision = Revision::of(&image);
        // Beside earlier ones of the same name: each is kept.
        let key = format!("{}/{}/{}@{revision:?}", name.space.as_str(), name.group.as_str(), name.name);
        let kept = Change { shelf: Shelf::Quarantine, key: key.into(), to: Some((image, revision.clone())) };
        let moved =
            vec![demand(name, None, Expect::Revision(revision))?, Demand { change: kept, expect: Expect::Anything }];
        // All or nothing, so a failure of one is a failure of both.
        self.committer.all(moved).await?.into_iter().collect()
    }

    async fn ready(&self) -> Result<()> {
        self.committer.ready()?;
        self.blocking(Tree::alive).await
    }

    async fn close(&self) -> Result<()> {
        let committer = self.committer.clone();
        let closed = tokio::task::spawn_blocking(move || committer.close()).await;
        closed.map_err(|error| Error::internal("closing the store was cut short").with_source(error))
    }
}
