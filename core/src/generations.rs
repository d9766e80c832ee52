//! Every superblock of a store, for `fsck` and for copies; a server looks at the newest alone.
//!
//! The surprise: a flipped bit in the check value of a key looks like a key that was not given. Only an authentic
//! generation beside it can tell: what a store is, and the check value of a key, never change.

use bytes::Bytes;
use futures::TryStreamExt;

use crate::address::superblock_name;
use crate::error::{Error, ErrorKind, Result};
use crate::keys::MasterKey;
use crate::storage::{Group, Object, ObjectName, Public, Space, Storage};
use crate::superblock::{Claims, Superblock, generation_of};

/// One superblock, as it was found.
#[derive(Debug)]
pub struct Generation {
    /// Which one it is by its name.
    pub number: u64,
    /// What it says, or why it does not count.
    pub opened: Result<Superblock>,
    image: Bytes,
}

impl Generation {
    /// Where it lies.
    pub fn name(&self) -> ObjectName {
        superblock_name(self.number)
    }

    /// The object, for a copy of the store.
    pub fn object(&self) -> Object {
        Object::Public(Public::new(self.image.clone()))
    }

    /// Whether it is certain to be damaged, and not just in want of a key or of a newer version.
    pub fn is_damaged(&self) -> bool {
        self.opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::Damaged && error.code() != "unknown_format")
    }
}

/// Every superblock of a store, the newest first.
pub async fn read(storage: &dyn Storage, masters: &[MasterKey]) -> Result<Vec<Generation>> {
    let listed: Vec<_> = storage.list(Space::Store, &Group::none()).try_collect().await?;
    let mut numbers: Vec<u64> = listed.iter().filter_map(|listed| generation_of(&listed.name)).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    let mut generations = Vec::with_capacity(numbers.len());
    for number in numbers {
        let Some(stored) = storage.get(&superblock_name(number)).await? else { continue };
        generations.push(Generation {
            number,
            opened: Superblock::open_as(number, &stored.bytes, masters),
            image: stored.bytes,
        });
    }
    contradict(&mut generations);
    Ok(generations)
}

/// What claims to need another key, and says of the store what an authentic generation denies, is damaged.
fn contradict(generations: &mut [Generation]) {
    let authentic: Vec<Claims> =
        generations.iter().filter_map(|found| found.opened.as_ref().ok().map(Superblock::claims)).collect();
    for found in generations.iter_mut().filter(|found| found.opened.is_err() && !found.is_damaged()) {
        let claimed = Claims::of(&found.image);
        let denied = claimed.is_ok_and(|claimed| authentic.iter().any(|true_ones| claimed.contradict(true_ones)));
        if denied {
            found.opened = Err(damaged("it names another store or another key than the generation beside it"));
        }
    }
}

fn damaged(how: &str) -> Error {
    Error::damaged(format!("the superblock is damaged: {how}")).with_code("damaged_superblock")
}

#[cfg(test)]
#[path = "generations_tests.rs"]
mod tests;
