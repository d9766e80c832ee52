//! Reads a whole store and says of every object whether it is what it claims to be: for `fsck`, and for copies.
//!
//! Every sealed object is opened to its last byte, and must lie under the very name it was sealed for. Nothing is changed.
//! What has passed comes back as an [`Object`]: the only way from one storage to another. The surprise: a whole object under
//! a key that the store does not have is reported, too, and is not damaged; see [`may_be_whole`].

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::address::NameMode;
use crate::document::{DEPTH_MAX_CEILING, Document};
use crate::error::{Error, ErrorKind, Result};
use crate::name::{DatabaseName, EntityId, SchemaId};
use crate::seal::{self, Sealed, Sealer};
use crate::storage::{Group, Object, ObjectName, Public, Space, Storage};

/// How many objects are read and opened at the same time.
const READS_AT_ONCE: usize = 32;
/// The spaces that are checked object by object, in the order of a report; superblocks are looked at by
/// [`crate::generations`].
pub const SPACES: [Space; 5] = [Space::Entities, Space::History, Space::Templates, Space::Auth, Space::Databases];

/// Opens every object of a store.
#[derive(Debug, Clone)]
pub struct Check {
    storage: Arc<dyn Storage>,
    sealer: Arc<Sealer>,
}

/// One object, looked at.
#[derive(Debug)]
pub struct Checked {
    /// Where it lies.
    pub name: ObjectName,
    /// Whose it is, by its name, else by its header; `None` where neither tells.
    pub entity: Option<EntityId>,
    /// The object, or what is wrong with it.
    pub found: Result<Object>,
}

/// Whether an object that was refused for this reason may be whole all the same, so that it must not be moved aside: the
/// key or the version that it needs is not here, the disk could not be read, or it cannot be reached by its name.
pub fn may_be_whole(error: &Error) -> bool {
    let codes = ["unknown_key", "unknown_format", "unreachable"];
    error.kind() != ErrorKind::Damaged || codes.contains(&error.code())
}

impl Check {
    /// A check of a storage with the keys and names of its store.
    pub fn new(storage: Arc<dyn Storage>, sealer: Arc<Sealer>) -> Self {
        Self { storage, sealer }
    }

    /// How many objects [`Check::space`] would look at in all spaces.
    pub async fn count(&self) -> Result<u64> {
        let mut count = 0;
        for space in SPACES {
            for group in self.storage.groups(space).await? {
                let listed = self.storage.list(space, &group);
                count += listed.try_fold(0, |count, _| async move { Ok(count + 1) }).await?;
            }
        }
        Ok(count)
    }

    /// Looks at every object of a space, in no order. An error is about the names of a whole group: they could not be read
    /// to their end, and the stream goes on with the next group.
    pub fn space(&self, space: Space) -> BoxStream<'_, Result<Checked>> {
        let groups = async move {
            match self.storage.groups(space).await {
                Ok(groups) => stream::iter(groups).map(Ok).left_stream(),
                Err(error) => stream::iter([Err(unlisted(space, &Group::none(), error))]).right_stream(),
            }
        };
        stream::once(groups).flatten().map(move |group| self.group(space, group)).flatten().boxed()
    }

    fn group(&self, space: Space, group: Result<Group>) -> BoxStream<'_, Result<Checked>> {
        let group = match group {
            Ok(group) => group,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let sealed = self.seals_names(space);
        let listed = self.storage.list(space, &group);
        let names = listed.map(move |listed| match listed {
            Ok(listed) => Ok(ObjectName { space, group: group.clone(), name: listed.name, sealed }),
            Err(error) => Err(unlisted(space, &group, error)),
        });
        names.map(|name| self.clone().look(name)).buffer_unordered(READS_AT_ONCE).boxed()
    }

    /// Whether the names in a space are sealed.
    pub(crate) fn seals_names(&self, space: Space) -> bool {
        match space {
            Space::Entities | Space::History => self.sealer.names().mode() == NameMode::Sealed,
            Space::Auth | Space::Databases => true,
            Space::Templates | Space::Store => false,
        }
    }

    /// Looks at one object in a task of its own, so that all processors take part.
    async fn look(self, name: Result<ObjectName>) -> Result<Checked> {
        let name = name?;
        let looked = tokio::spawn(async move { self.object(name).await });
        looked.await.map_err(|error| Error::internal("looking at an object was cut short").with_source(error))
    }

    /// Looks at one object.
    pub async fn object(&self, name: ObjectName) -> Checked {
        let stored = match self.storage.get(&name).await {
            Ok(Some(stored)) => stored,
            Ok(None) => {
                let message = "it is listed, and its name leads elsewhere; move it away by hand";
                let error = Error::damaged(message).with_code("unreachable");
                return Checked { entity: self.by_name(&name), name, found: Err(error) };
            }
            Err(error) => return Checked { entity: self.by_name(&name), name, found: Err(error) },
        };
        let entity = self.by_name(&name).or_else(|| self.by_header(&name, &stored.bytes));
        let found = match name.space {
            Space::Templates => schema(&name, &stored.bytes).map(|()| Object::Public(Public::new(stored.bytes))),
            _ => self.opens(&name, &stored.bytes).and_then(|()| Sealed::from_image(stored.bytes).map(Object::Sealed)),
        };
        Checked { name, entity, found }
    }

    /// Opens a sealed object, which must lie where it was sealed for.
    fn opens(&self, name: &ObjectName, image: &[u8]) -> Result<()> {
        let (id, opened) = self.sealer.open_anywhere(image)?;
        let own = self.name_of(name, &id).filter(|own| own == name);
        let version_fits = version(name).is_none_or(|version| version == opened.meta.version.to_string());
        match own {
            Some(_) if version_fits => Ok(()),
            _ => Err(Error::damaged("an object lies where another one belongs").with_code("misplaced")),
        }
    }

    /// The name of an entity's object in the space, and for an earlier version the version, of another name.
    fn name_of(&self, like: &ObjectName, id: &EntityId) -> Option<ObjectName> {
        let names = self.sealer.names();
        match like.space {
            Space::Auth | Space::Databases if id.database == DatabaseName::reserved(like.space.as_str()) => {
                Some(names.internal(like.space, &id.key).1.object)
            }
            Space::Entities if !id.database.is_reserved() => Some(names.entity(id).object),
            Space::History if !id.database.is_reserved() => {
                let ObjectName { group, name, sealed, .. } = names.entity(id).object;
                let name = format!("{name}@{}", version(like)?).into();
                Some(ObjectName { space: Space::History, group, name, sealed })
            }
            _ => None,
        }
    }

    /// Whose an object is, if its name tells and belongs where it is.
    fn by_name(&self, name: &ObjectName) -> Option<EntityId> {
        let names = self.sealer.names();
        let id = match name.space {
            Space::Entities => names.open_object_name(&name.group, &name.name),
            Space::History => names.open_object_name(&name.group, name.name.rsplit_once('@')?.0),
            Space::Auth | Space::Databases => names.open_internal_name(&name.name),
            Space::Templates | Space::Store => return None,
        };
        id.ok().flatten().filter(|id| self.name_of(name, id).as_ref() == Some(name))
    }

    /// Whose an object is by its header, where that agrees with its name.
    fn by_header(&self, name: &ObjectName, image: &[u8]) -> Option<EntityId> {
        let id = self.sealer.names().open(seal::peek_name(image).ok()?).ok()?;
        (self.name_of(name, &id).as_ref() == Some(name)).then_some(id)
    }
}

/// The version at the end of the name of an earlier version.
fn version(name: &ObjectName) -> Option<&str> {
    match name.space {
        Space::History => name.name.rsplit_once('@').map(|(_, version)| version),
        _ => None,
    }
}

/// A schema is JSON under the name of one, or of one of its versions.
fn schema(name: &ObjectName, text: &[u8]) -> Result<()> {
    let (id, version) = match name.name.rsplit_once('@') {
        Some((id, version)) => (id, version),
        None => (&*name.name, "1"),
    };
    let is_version = version.parse::<u32>().is_ok_and(|number| number > 0 && number.to_string() == version);
    if SchemaId::parse(id).is_err() || !is_version {
        return Err(Error::damaged("this is not the name of a schema").with_code("misplaced"));
    }
    match Document::parse(text, DEPTH_MAX_CEILING) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::damaged(error.to_string())),
    }
}

fn unlisted(space: Space, group: &Group, error: Error) -> Error {
    error.context(format_args!("{}/{}: not all names could be read", space.as_str(), group.as_str()))
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
