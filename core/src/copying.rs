//! A store on its way from one storage to another: the same images under the same names, each opened before it is written.
//!
//! A mark in the destination comes first and goes last, and no store with the mark opens, so a copy that was cut short is
//! never taken for a store. It is begun again, and goes on. The surprise: the source may have changed in between, so what
//! it has no more is removed from the destination.

use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::check::{Check, SPACES};
use crate::error::{Error, ErrorKind, Result};
use crate::generations::Generation;
use crate::keyring::StoreId;
use crate::storage::{Expect, Group, Object, ObjectName, Public, Space, Storage, Write};

/// The mark of a copy that was not finished, among the superblocks.
pub(crate) const MARK: &str = "copying";
/// How many objects are written as one batch, which may share a sync.
const BATCH_OBJECTS: usize = 256;
/// How many bytes one batch has, unless its last object is larger.
const BATCH_BYTES: usize = 8 << 20;
/// How many objects are read at the same time, from either side.
const READS_AT_ONCE: usize = 32;

/// What a copy has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Objects of the source that were opened.
    pub opened: u64,
    /// Those that were written; the others were there already.
    pub written: u64,
    /// Objects of the destination that were compared with the source, byte for byte.
    pub compared: u64,
    /// Objects of the destination that the source has no more.
    pub removed: u64,
    /// Objects of the source that do not open, and were not copied.
    pub damaged: u64,
    /// Objects of the source that open, and were not copied because the destination cannot have their names.
    pub misnamed: u64,
}

/// A copy that is going on.
#[derive(Debug)]
pub struct Copy {
    source: Arc<dyn Storage>,
    check: Check,
    to: Arc<dyn Storage>,
    tally: Tally,
}

impl Copy {
    /// Marks an empty destination as an unfinished copy, or goes on with one of the same store; any other is refused, and
    /// left as it is.
    pub async fn begin(store: StoreId, source: Arc<dyn Storage>, check: Check, to: Arc<dyn Storage>) -> Result<Self> {
        let mark = mark_of(store);
        match found(&*to).await? {
            Found::Nothing => {
                let object = Object::Public(Public::new(mark));
                to.put(&mark_name(), &object, &Expect::Absent).await?;
            }
            Found::Unfinished(of) if of == mark => {}
            Found::Unfinished(_) => {
                return Err(refused("holds the unfinished copy of another store"));
            }
            Found::Store => return Err(refused("holds a store already")),
            Found::Objects => return Err(refused("holds objects that belong to no store")),
        }
        Ok(Self { source, check, to, tally: Tally::default() })
    }

    /// Copies every object that opens and is not there yet. `told` hears how far it is, and of each that was not copied.
    pub async fn objects(&mut self, mut told: impl FnMut(Tally, Option<(ObjectName, Error)>)) -> Result<Tally> {
        for space in SPACES {
            let check = self.check.clone();
            let mut checked = check.space(space);
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while let Some(checked) = checked.try_next().await? {
                let object = match checked.found {
                    Ok(object) => object,
                    Err(error) => {
                        self.tally.damaged += 1;
                        told(self.tally, Some((checked.name, error)));
                        continue;
                    }
                };
                self.tally.opened += 1;
                bytes += object.bytes().len();
                batch.push((checked.name, object));
                if batch.len() == BATCH_OBJECTS || bytes >= BATCH_BYTES {
                    bytes = 0;
                    self.write(mem::take(&mut batch), &mut told).await?;
                }
            }
            self.write(batch, &mut told).await?;
        }
        Ok(self.tally)
    }

    /// Writes what the destination does not have, or has in an older state.
    async fn write(
        &mut self,
        batch: Vec<(ObjectName, Object)>,
        told: &mut impl FnMut(Tally, Option<(ObjectName, Error)>),
    ) -> Result<()> {
        let to = &*self.to;
        let wanted = stream::iter(batch).map(|(name, object)| async move {
            let there = match to.get(&name).await {
                Err(error) if error.kind() == ErrorKind::Invalid => return Ok(Some(Err((name, error)))),
                there => there?,
            };
            if there.as_ref().is_some_and(|there| there.bytes == *object.bytes()) {
                return Ok::<_, Error>(None);
            }
            let expect = there.map_or(Expect::Absent, |there| Expect::Revision(there.revision));
            Ok(Some(Ok(Write { name, object: Some(object), expect })))
        });
        let writes: Vec<_> = wanted.buffer_unordered(READS_AT_ONCE).try_collect().await?;
        let mut fitting = Vec::with_capacity(writes.len());
        for write in writes.into_iter().flatten() {
            match write {
                Ok(write) => fitting.push(write),
                Err(misnamed) => {
                    self.tally.misnamed += 1;
                    told(self.tally, Some(misnamed));
                }
            }
        }
        if !fitting.is_empty() {
            let names: Vec<_> = fitting.iter().map(|write| write.name.clone()).collect();
            for (name, answer) in names.iter().zip(to.write_batch(fitting).await?) {
                answer.map_err(|error| error.context(name))?;
            }
            self.tally.written += names.len() as u64;
        }
        told(self.tally, None);
        Ok(())
    }

    /// Reads the destination back and compares it with the source; what the source does not have is removed.
    pub async fn compare(&mut self, mut told: impl FnMut(Tally)) -> Result<Tally> {
        for space in SPACES {
            let groups = self.to.groups(space).await?;
            for group in groups {
                let names = self.to.list(space, &group).map_ok(|listed| (group.clone(), listed.name));
                let (source, to) = (&*self.source, &*self.to);
                let sealed = self.check.seals_names(space);
                let compared =
                    names.map_ok(|(group, name)| same(source, to, ObjectName { space, group, name, sealed }));
                let mut compared = compared.try_buffer_unordered(READS_AT_ONCE);
                while let Some(kept) = compared.try_next().await? {
                    match kept {
                        true => self.tally.compared += 1,
                        false => self.tally.removed += 1,
                    }
                    told(self.tally);
                }
            }
        }
        if self.tally.compared != self.tally.opened {
            let Tally { opened, compared, .. } = self.tally;
            let message = format!("the source has {opened} objects and the destination {compared}; run it again");
            return Err(Error::internal(message));
        }
        Ok(self.tally)
    }

    /// Copies the superblocks and takes the mark away: from now on the destination is a store.
    pub async fn finish(self, generations: &[Generation]) -> Result<()> {
        for generation in generations.iter().rev() {
            let put = self.to.put(&generation.name(), &generation.object(), &Expect::Absent).await;
            match put {
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    let there = self.to.get(&generation.name()).await?.map(|there| there.bytes);
                    if there.as_ref() != Some(generation.object().bytes()) {
                        return Err(refused("holds another superblock"));
                    }
                }
                put => _ = put?,
            }
        }
        self.to.delete(&mark_name(), &Expect::Anything).await
    }
}

/// Whether the destination's object is the source's; one that the source does not have is removed.
async fn same(source: &dyn Storage, to: &dyn Storage, name: ObjectName) -> Result<bool> {
    let (Some(there), wanted) = (to.get(&name).await?, source.get(&name).await?) else { return Ok(false) };
    match wanted {
        Some(wanted) if wanted.bytes == there.bytes => Ok(true),
        Some(_) => Err(Error::damaged(format!("{name} reads back as something else than was written; check the disk"))),
        None => {
            to.delete(&name, &Expect::Revision(there.revision)).await?;
            Ok(false)
        }
    }
}

/// What lies in a place where a store shall be.
enum Found {
    Nothing,
    Unfinished(Bytes),
    Store,
    Objects,
}

async fn found(to: &dyn Storage) -> Result<Found> {
    if let Some(mark) = to.get(&mark_name()).await? {
        return Ok(Found::Unfinished(mark.bytes));
    }
    let mut superblocks = to.list(Space::Store, &Group::none());
    if superblocks.try_next().await?.is_some() {
        return Ok(Found::Store);
    }
    for space in SPACES {
        if !to.groups(space).await?.is_empty() {
            return Ok(Found::Objects);
        }
    }
    Ok(Found::Nothing)
}

fn mark_name() -> ObjectName {
    ObjectName { space: Space::Store, group: Group::none(), name: MARK.into(), sealed: false }
}

fn mark_of(store: StoreId) -> Bytes {
    format!("{{\"unfinished_copy_of\":\"{store}\"}}\n").into()
}

fn refused(what: &str) -> Error {
    Error::conflict(format!("the destination {what}; nothing was changed, choose an empty one")).with_code("occupied")
}

#[cfg(test)]
#[path = "copying_tests.rs"]
mod tests;
