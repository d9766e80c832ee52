//! What is stored of schemas: the current texts, and their versions.
//!
//! Memory is trusted only where this process alone writes the store and nobody puts schemas there by hand. The surprise: a
//! text that somebody is putting there may be half of one, so one that is of no use is looked at again for a moment, and
//! becomes a version only once it compiles.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;

use crate::address::schema_name;
use crate::document::{DEPTH_MAX_CEILING, Document};
use crate::error::{Error, ErrorKind, Result};
use crate::name::SchemaId;
use crate::schemas::{ATTEMPTS_MAX, Schema, Schemas, changed_too_often, public};
use crate::storage::{Expect, Group, Revision, Space};

/// How long a template that is of no use is tried again, since somebody may be writing it.
const HALF_WRITTEN_WAIT: Duration = Duration::from_millis(200);
/// How long it is left alone in between.
const HALF_WRITTEN_STEP: Duration = Duration::from_millis(20);
/// The code of an error about a template that somebody put there and that is of no use.
const BROKEN: &str = "broken_template";

/// How long somebody has waited for templates that are not whole.
#[derive(Default)]
pub(super) struct Patience(Duration);

impl Patience {
    /// Waits a moment if an error is one that may pass, and says whether to try again.
    pub(super) async fn lasts(&mut self, error: &Error) -> bool {
        let again = is_broken(error) && self.0 < HALF_WRITTEN_WAIT;
        if again {
            tokio::time::sleep(HALF_WRITTEN_STEP).await;
            self.0 += HALF_WRITTEN_STEP;
        }
        again
    }
}

/// A text as it is stored.
pub(super) struct Text {
    pub(super) source: Document,
    pub(super) revision: Revision,
}

impl Schemas {
    /// The current text, from memory where that can be trusted.
    pub(super) async fn current(&self, id: &SchemaId) -> Result<Option<Arc<Schema>>> {
        if !self.trusts_memory() {
            return self.load(id).await;
        }
        if let Some(known) = self.known().get(id) {
            return Ok(known.clone());
        }
        // What is read here must not replace what a writer learns meanwhile.
        let _turn = self.writing.lock().await;
        self.load(id).await
    }

    /// Looks at the storage unless memory can be trusted; where it can, only for the holder of the turn.
    pub(super) async fn load(&self, id: &SchemaId) -> Result<Option<Arc<Schema>>> {
        if self.trusts_memory()
            && let Some(known) = self.known().get(id)
        {
            return Ok(known.clone());
        }
        let mut patience = Patience::default();
        loop {
            match self.look(id).await {
                Err(error) if patience.lasts(&error).await => {}
                result => return result,
            }
        }
    }

    async fn look(&self, id: &SchemaId) -> Result<Option<Arc<Schema>>> {
        let Some(text) = self.text(id).await? else {
            self.known().put(id.clone(), None);
            return Ok(None);
        };
        if let Some(known) = self.known().get(id).cloned().flatten().filter(|known| known.revision == text.revision) {
            return Ok(Some(known));
        }
        let version = self.version_of(id, &text.source).await?;
        Ok(Some(self.know(id, Schema { version, source: text.source, revision: text.revision })))
    }

    /// The current text as the storage has it, which may not be a version yet.
    pub(super) async fn text(&self, id: &SchemaId) -> Result<Option<Text>> {
        let Some(stored) = self.storage.get(&schema_name(id, None)).await? else { return Ok(None) };
        let parsed = Document::parse(&stored.bytes, DEPTH_MAX_CEILING);
        let source = parsed.map_err(|error| self.blamed(id, error.context(format!("schema {id}"))))?;
        Ok(Some(Text { source, revision: stored.revision }))
    }

    /// The text of a version, which never changes.
    pub(super) async fn version(&self, id: &SchemaId, version: u32) -> Result<Document> {
        let stored = self.storage.get(&schema_name(id, Some(version))).await?;
        let absent = || Error::unavailable(format!("version {version} of schema {id} is not in this store; try again"));
        Document::parse(&stored.ok_or_else(absent)?.bytes, DEPTH_MAX_CEILING)
    }

    pub(super) fn know(&self, id: &SchemaId, schema: Schema) -> Arc<Schema> {
        let schema = Arc::new(schema);
        self.known().put(id.clone(), Some(schema.clone()));
        schema
    }

    /// The version that a text is: the newest one if that is it, else a new one. Whoever else finds the same text finds the
    /// same version.
    async fn version_of(&self, id: &SchemaId, source: &Document) -> Result<u32> {
        let mut is_checked = !self.hand_made();
        for _ in 0..ATTEMPTS_MAX {
            let newest = self.newest_version(id).await?;
            if let Some(newest) = newest {
                let stored = self.storage.get(&schema_name(id, Some(newest))).await?;
                if stored.is_some_and(|stored| stored.bytes == source.bytes()) {
                    return Ok(newest);
                }
            }
            if !is_checked {
                self.compile(id, source).await.map_err(|error| self.blamed(id, error))?;
                is_checked = true;
            }
            if let Some(version) = self.add_after(id, newest, source).await? {
                return Ok(version);
            }
        }
        Err(changed_too_often(id))
    }

    /// Writes a text as the next version.
    pub(super) async fn add_version(&self, id: &SchemaId, source: &Document) -> Result<u32> {
        for _ in 0..ATTEMPTS_MAX {
            let newest = self.newest_version(id).await?;
            if let Some(version) = self.add_after(id, newest, source).await? {
                return Ok(version);
            }
        }
        Err(changed_too_often(id))
    }

    /// Writes a text as the version after the newest one; `None` if somebody else was faster.
    async fn add_after(&self, id: &SchemaId, newest: Option<u32>, source: &Document) -> Result<Option<u32>> {
        let version = newest.unwrap_or(0) + 1;
        match self.storage.put(&schema_name(id, Some(version)), &public(source), &Expect::Absent).await {
            Ok(_) => Ok(Some(version)),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn newest_version(&self, id: &SchemaId) -> Result<Option<u32>> {
        let names = self.listed().await?;
        let versions = names.iter().filter_map(|name| name.rsplit_once('@').filter(|(stem, _)| *stem == id.as_str()));
        Ok(versions.filter_map(|(_, version)| version.parse().ok()).max())
    }

    pub(super) async fn listed(&self) -> Result<Vec<Box<str>>> {
        self.storage.list(Space::Templates, &Group::none()).map_ok(|listed| listed.name).try_collect().await
    }

    /// Whether what was seen of the schemas stays true until this process changes it.
    fn trusts_memory(&self) -> bool {
        !self.storage.capabilities().shared && !self.hand_made()
    }

    fn hand_made(&self) -> bool {
        self.storage.capabilities().hand_made_schemas
    }

    /// What is wrong with a text: where anybody can put one there, it is not the fault of the client that needs it.
    pub(super) fn blamed(&self, id: &SchemaId, error: Error) -> Error {
        if !self.hand_made() || error.kind() != ErrorKind::Invalid {
            return error;
        }
        let message =
            format!("template {id} is of no use, and nothing was written: {error}; put a valid one in its place");
        Error::unavailable(message).with_code(BROKEN)
    }
}

/// Whether an error is about a template that somebody put there.
pub(super) fn is_broken(error: &Error) -> bool {
    error.code() == BROKEN
}
