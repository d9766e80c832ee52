//! Schemas in a directory of their own, for a storage that has no files that people could put there.
//!
//! The directory is a store of `fs` of which only the schemas are used; what that needs besides lies in a hidden directory in
//! it. Everything else stays in the storage itself. The surprise: schemas that the storage had are copied into the
//! directory, and from then on it is used whether it is named or not, since documents would be written unchecked.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use delta_core::plugin::{Settings, open_storage};
use delta_core::schemas;
use delta_core::storage::{
    Capabilities, Expect, Group, Listed, Object, ObjectName, Revision, Space, Storage, Stored, StoredHead, Write,
};
use delta_core::{Error, Result};
use futures::stream::BoxStream;

use crate::plugins;
use crate::roles::store::write_private;

/// The storage of the directory.
const FS: &str = "fs";
/// Where its locks lie, in the directory.
const LOCKS: &str = ".deltadb";
/// The file in the data directory that says where the schemas are.
const MARK: &str = "templates-dir";

/// A storage whose schemas are in another one.
#[derive(Debug)]
struct TemplatesElsewhere {
    storage: Arc<dyn Storage>,
    templates: Arc<dyn Storage>,
}

/// The storage of a data directory, with its schemas in the directory that is given, or was once.
pub(crate) async fn elsewhere(
    storage: Arc<dyn Storage>,
    given: Option<&Path>,
    data_dir: &Path,
) -> Result<Arc<dyn Storage>> {
    let mark = data_dir.join(MARK);
    let marked = fs::read_to_string(&mark).ok().map(|text| PathBuf::from(text.trim()));
    let directory = match (given, &marked) {
        (Some(given), _) => std::path::absolute(given).map_err(|error| unusable(given, &error))?,
        (None, Some(marked)) if marked.is_dir() => marked.clone(),
        (None, Some(marked)) => return Err(gone(marked)),
        (None, None) => return Ok(storage),
    };
    let text = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| unusable(path, &"its name is not UTF-8"));
    let settings = Settings::default().with("path", text(&directory.join(LOCKS))?).with("sidecar", "off");
    let opened = open_storage(FS, settings.with("templates_dir", text(&directory)?)).await;
    let templates = opened.map_err(|error| unusable(&directory, &plugins::hint(error, "storage", FS)))?;
    schemas::adopt(&*storage, &*templates).await?;
    if marked.as_ref() != Some(&directory) {
        drop(fs::remove_file(&mark));
        write_private(&mark, &text(&directory)?).map_err(|error| unusable(data_dir, &format!("{error:#}")))?;
    }
    Ok(Arc::new(TemplatesElsewhere { storage, templates }))
}

fn unusable(directory: &Path, why: &dyn Display) -> Error {
    Error::unavailable(format!("cannot keep schemas in {}: {why}; choose another --templates-dir", directory.display()))
}

fn gone(directory: &Path) -> Error {
    let place = directory.display();
    Error::unavailable(format!(
        "the schemas of this store are in {place}, which is gone; restore it, or give --templates-dir DIR"
    ))
}

impl TemplatesElsewhere {
    fn of(&self, space: Space) -> &dyn Storage {
        if space == Space::Templates { &*self.templates } else { &*self.storage }
    }
}

#[async_trait]
impl Storage for TemplatesElsewhere {
    fn capabilities(&self) -> Capabilities {
        Capabilities { hand_made_schemas: true, ..self.storage.capabilities() }
    }

    async fn get(&self, name: &ObjectName) -> Result<Option<Stored>> {
        self.of(name.space).get(name).await
    }

    async fn head(&self, name: &ObjectName) -> Result<Option<StoredHead>> {
        self.of(name.space).head(name).await
    }

    async fn put(&self, name: &ObjectName, object: &Object, expect: &Expect) -> Result<Revision> {
        self.of(name.space).put(name, object, expect).await
    }

    async fn delete(&self, name: &ObjectName, expect: &Expect) -> Result<()> {
        self.of(name.space).delete(name, expect).await
    }

    async fn write_batch(&self, writes: Vec<Write>) -> Result<Vec<Result<Option<Revision>>>> {
        let of_templates = writes.iter().filter(|write| write.name.space == Space::Templates).count();
        match of_templates {
            0 => self.storage.write_batch(writes).await,
            all if all == writes.len() => self.templates.write_batch(writes).await,
            _ => Err(Error::internal("schemas and other objects cannot be written together")),
        }
    }

    fn list(&self, space: Space, group: &Group) -> BoxStream<'_, Result<Listed>> {
        self.of(space).list(space, group)
    }

    async fn groups(&self, space: Space) -> Result<Vec<Group>> {
        self.of(space).groups(space).await
    }

    async fn quarantine(&self, name: &ObjectName) -> Result<()> {
        self.of(name.space).quarantine(name).await
    }

    async fn ready(&self) -> Result<()> {
        self.storage.ready().await?;
        self.templates.ready().await
    }

    async fn close(&self) -> Result<()> {
        let closed = self.templates.close().await;
        self.storage.close().await.and(closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use delta_core::builtin::memory::MemoryStorage;
    use delta_core::conformance;

    struct Both;

    impl conformance::storage::Fixture for Both {
        async fn new() -> Self {
            Self
        }

        async fn open(&self) -> Arc<dyn Storage> {
            let [storage, templates] = [(); 2].map(|()| Arc::new(MemoryStorage::new()) as Arc<dyn Storage>);
            Arc::new(TemplatesElsewhere { storage, templates })
        }
    }

    conformance::storage!(Both);
}
