//! Schemas that move: from the storage that had them into one that is to have them from now on.

use std::collections::BTreeSet;

use futures::TryStreamExt;

use crate::error::{ErrorKind, Result};
use crate::storage::{Expect, Group, Object, ObjectName, Public, Space, Storage};

/// Copies what another storage lacks: every version, and the current text of each schema that it has no object of.
///
/// A schema of which it has versions and no text was deleted there, and stays so. Cut short, it goes on when it is called
/// again.
pub async fn adopt(from: &dyn Storage, to: &dyn Storage) -> Result<()> {
    let known: BTreeSet<Box<str>> = names(to).await?.into_iter().collect();
    let schemas: BTreeSet<&str> = known.iter().map(|name| schema(name)).collect();
    let mut missing = names(from).await?;
    missing.retain(|name| !known.contains(name) && (is_version(name) || !schemas.contains(&**name)));
    // The texts first: a schema of which only versions were copied would be taken for a deleted one.
    missing.sort_unstable_by_key(|name| is_version(name));
    for name in missing {
        let name = ObjectName { space: Space::Templates, group: Group::none(), name, sealed: false };
        let Some(stored) = from.get(&name).await? else { continue };
        match to.put(&name, &Object::Public(Public::new(stored.bytes)), &Expect::Absent).await {
            Err(error) if error.kind() != ErrorKind::Conflict => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

async fn names(storage: &dyn Storage) -> Result<Vec<Box<str>>> {
    storage.list(Space::Templates, &Group::none()).map_ok(|listed| listed.name).try_collect().await
}

fn is_version(name: &str) -> bool {
    name.contains('@')
}

/// The schema that an object is the text or a version of.
fn schema(name: &str) -> &str {
    name.split_once('@').map_or(name, |(schema, _)| schema)
}
