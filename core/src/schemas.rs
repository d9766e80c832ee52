//! The schemas of a store: which one applies to a document, and its versions, which never change.
//!
//! A schema is two kinds of objects: its current text, and every version it ever had, written once. A document's header
//! names schema and version. The surprise: the current text decides, so a text put there by hand becomes a version when
//! it is first used.

mod adopting;
mod texts;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::address::schema_name;
use crate::auth::Principal;
use crate::databases::Settings;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::name::{DatabaseName, EntityKey, SchemaId};
use crate::storage::{Expect, Object, Public, Revision, Storage};
use crate::validator::{CompiledSchema, VIOLATIONS_MAX, Validator};

pub use adopting::adopt;
use texts::{Patience, Text, is_broken};

/// How many compiled schemas are kept.
const COMPILED_MAX: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// How many schemas, or names known to be no schema, are remembered.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// How many other schemas one schema may refer to, directly or through others.
pub const REFERENCES_MAX: usize = 64;
/// How often a write to a schema that others change at the same time is tried.
const ATTEMPTS_MAX: usize = 16;

/// One version of a schema.
#[derive(Debug, Clone)]
pub struct Schema {
    /// Counts from 1 and never goes back, even over a delete.
    pub version: u32,
    /// The text, byte for byte as it was put.
    pub source: Document,
    revision: Revision,
}

/// A schema that applies to a write, ready to check documents.
#[derive(Debug, Clone)]
pub struct Applicable {
    id: SchemaId,
    version: u32,
    compiled: Arc<dyn CompiledSchema>,
}

impl Applicable {
    /// What the header of a checked document says.
    pub fn named(&self) -> (SchemaId, u32) {
        (self.id.clone(), self.version)
    }

    /// Refuses a document that does not match, with every violation.
    pub fn check(&self, document: &Document) -> Result<()> {
        let violations = self.compiled.check(document)?;
        if violations.is_empty() { Ok(()) } else { Err(self.refusal(violations)) }
    }

    /// Refuses many documents if any does not match; pointers start at the object that holds them all.
    pub fn check_all(&self, documents: &[(EntityKey, Document)]) -> Result<()> {
        let mut violations = Vec::new();
        for (key, document) in documents {
            let prefix = key.as_str().replace('~', "~0");
            violations.extend(self.compiled.check(document)?.into_iter().map(|mut violation| {
                violation.pointer = format!("/{prefix}{}", violation.pointer);
                violation
            }));
            violations.truncate(VIOLATIONS_MAX);
        }
        if violations.is_empty() { Ok(()) } else { Err(self.refusal(violations)) }
    }

    fn refusal(&self, violations: Vec<Violation>) -> Error {
        Error::schema_violation(format!("this does not match schema {}; nothing was written", self.id), violations)
    }
}

/// Every schema that one was compiled from, in the state that was current; `None` for what did not exist.
type Parts = Vec<(SchemaId, Option<Revision>)>;

#[derive(Debug, Clone)]
struct Compiled {
    schema: Arc<dyn CompiledSchema>,
    parts: Parts,
}

/// The schemas of a store.
#[derive(Debug)]
pub struct Schemas {
    storage: Arc<dyn Storage>,
    validator: Arc<dyn Validator>,
    /// What is current, as far as it was looked at; `None` for what is known not to exist. Only a hint where other
    /// processes may write the store.
    known: Mutex<LruCache<SchemaId, Option<Arc<Schema>>>>,
    compiled: Mutex<LruCache<SchemaId, Compiled>>,
    /// Versions that another process decided on.
    pinned: Mutex<LruCache<(SchemaId, u32), Compiled>>,
    /// Writers take turns, so that versions are numbered in order.
    writing: tokio::sync::Mutex<()>,
}

impl Schemas {
    /// The schemas in a store, checked by a validator.
    pub fn new(storage: Arc<dyn Storage>, validator: Arc<dyn Validator>) -> Self {
        Self {
            storage,
            validator,
            known: Mutex::new(LruCache::new(KNOWN_MAX)),
            compiled: Mutex::new(LruCache::new(COMPILED_MAX)),
            pinned: Mutex::new(LruCache::new(COMPILED_MAX)),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// The schema that applies to documents of a database: the one it is bound to, else the one that the request names,
    /// else the one called like the database, else none, which its settings may refuse.
    pub async fn applicable(
        &self,
        database: &DatabaseName,
        settings: &Settings,
        named: Option<&SchemaId>,
    ) -> Result<Option<Applicable>> {
        let Some((id, schema)) = self.chosen(database, settings, named).await? else { return Ok(None) };
        let compiled = self.compiled(&id, &schema).await?;
        Ok(Some(Applicable { id, version: schema.version, compiled }))
    }

    /// The same, not compiled: whoever only decides needs no more.
    pub(crate) async fn chosen(
        &self,
        database: &DatabaseName,
        settings: &Settings,
        named: Option<&SchemaId>,
    ) -> Result<Option<(SchemaId, Arc<Schema>)>> {
        if let (Some(bound), Some(named)) = (&settings.schema_id, named)
            && bound != named
        {
            let message = format!("database {database} is bound to schema {bound}; do not name another");
            return Err(Error::invalid("schema_mismatch", message));
        }
        let found = match settings.schema_id.as_ref().or(named) {
            Some(id) => Some((id.clone(), self.named(id).await?)),
            None => {
                let id = SchemaId::parse(database.as_str())?;
                self.current(&id).await?.map(|schema| (id, schema))
            }
        };
        if found.is_none() && settings.require_schema {
            let message = format!("database {database} takes only documents with a schema; name one with schema_id");
            return Err(Error::invalid("schema_required", message));
        }
        Ok(found)
    }

    /// One version of a schema, ready to check documents, whatever is current by now: another process decided on it.
    pub(crate) async fn pinned(&self, id: &SchemaId, version: u32) -> Result<Applicable> {
        let key = (id.clone(), version);
        let kept = self.lock_pinned().get(&key).cloned();
        if let Some(kept) = kept
            && self.is_current(&kept.parts).await?
        {
            return Ok(Applicable { id: id.clone(), version, compiled: kept.schema });
        }
        let source = self.version(id, version).await?;
        let compiled = self.compile(id, &source).await;
        let (schema, parts) = compiled.map_err(|error| self.blamed(id, error))?;
        self.is_current(&parts).await?;
        self.lock_pinned().put(key, Compiled { schema: schema.clone(), parts });
        Ok(Applicable { id: id.clone(), version, compiled: schema })
    }

    /// A schema that somebody refers to; it is their fault if it does not exist.
    pub(crate) async fn named(&self, id: &SchemaId) -> Result<Arc<Schema>> {
        self.current(id).await?.ok_or_else(|| {
            Error::invalid("unknown_schema", format!("there is no schema {id}; create it with PUT /schema/{id}"))
        })
    }

    /// What in a document does not match a schema, or `NotFound`; nothing is written.
    pub async fn validate(&self, id: &SchemaId, document: &Document) -> Result<Vec<Violation>> {
        let schema = self.get(id).await?;
        self.compiled(id, &schema).await?.check(document)
    }

    /// The current text of a schema, or `NotFound`.
    pub async fn get(&self, id: &SchemaId) -> Result<Arc<Schema>> {
        self.current(id).await?.ok_or_else(|| no_schema(id))
    }

    /// The ids of all schemas, in order.
    pub async fn list(&self) -> Result<Vec<SchemaId>> {
        let ids = self.listed().await?.into_iter().filter_map(|name| SchemaId::parse(&name).ok());
        Ok(ids.collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// Makes a text the current one of a schema, as a new version; it must compile first. The same text again changes
    /// nothing. Needs the right to write schemas.
    pub async fn put(&self, who: &Principal, id: &SchemaId, source: Document) -> Result<Arc<Schema>> {
        who.require_schema_write()?;
        let mut patience = Patience::default();
        while let Err(error) = self.compile(id, &source).await {
            if !patience.lasts(&error).await {
                return Err(error);
            }
        }
        let _turn = self.writing.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            // Before the text is looked at, so that whoever changes it in between makes this write a conflict.
            let expect = self.expected(id).await?;
            match self.load(id).await {
                Ok(Some(current)) if current.source == source => return Ok(current),
                Err(error) if !is_broken(&error) => return Err(error),
                _ => {}
            }
            let version = self.add_version(id, &source).await?;
            match self.storage.put(&schema_name(id, None), &public(&source), &expect).await {
                Ok(revision) => return Ok(self.know(id, Schema { version, source, revision })),
                Err(error) => self.failed(id, error)?,
            }
        }
        Err(changed_too_often(id))
    }

    /// Removes a schema, or `NotFound`; its versions stay, since documents name them. Needs the right to write schemas.
    /// Whether a database is bound to it is asked by [`crate::databases::Databases::delete_schema`].
    pub(crate) async fn delete(&self, who: &Principal, id: &SchemaId) -> Result<()> {
        who.require_schema_write()?;
        let _turn = self.writing.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            let expect = self.expected(id).await?;
            if expect == Expect::Absent {
                return Err(no_schema(id));
            }
            match self.storage.delete(&schema_name(id, None), &expect).await {
                Ok(()) => {
                    self.known().put(id.clone(), None);
                    return Ok(());
                }
                Err(error) => self.failed(id, error)?,
            }
        }
        Err(changed_too_often(id))
    }

    /// What a change of the current text demands to find: whatever is there now, of use or not.
    async fn expected(&self, id: &SchemaId) -> Result<Expect> {
        let stored = self.storage.get(&schema_name(id, None)).await?;
        Ok(stored.map_or(Expect::Absent, |stored| Expect::Revision(stored.revision)))
    }

    /// After a failed write nothing is known; only a conflict may be tried again.
    fn failed(&self, id: &SchemaId, error: Error) -> Result<()> {
        self.known().pop(id);
        if error.kind() == ErrorKind::Conflict { Ok(()) } else { Err(error) }
    }

    /// The compiled current text, compiled again when it or anything it refers to has changed.
    async fn compiled(&self, id: &SchemaId, schema: &Schema) -> Result<Arc<dyn CompiledSchema>> {
        let kept = self.lock_compiled().get(id).cloned();
        if let Some(kept) = kept
            && self.is_current(&kept.parts).await?
        {
            return Ok(kept.schema);
        }
        let compiled = self.compile(id, &schema.source).await;
        let (compiled, mut parts) = compiled.map_err(|error| self.blamed(id, error))?;
        // What it refers to becomes a version too, as every text that is used; one that changed meanwhile shows next time.
        self.is_current(&parts).await?;
        parts.push((id.clone(), Some(schema.revision.clone())));
        self.lock_compiled().put(id.clone(), Compiled { schema: compiled.clone(), parts });
        Ok(compiled)
    }

    async fn is_current(&self, parts: &Parts) -> Result<bool> {
        for (part, revision) in parts {
            let now = self.current(part).await?;
            if now.as_ref().map(|schema| &schema.revision) != revision.as_ref() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Compiles a text, fetching the schemas it refers to until none is missing.
    async fn compile(&self, id: &SchemaId, source: &Document) -> Result<(Arc<dyn CompiledSchema>, Parts)> {
        let mut others: HashMap<SchemaId, Option<Text>> = HashMap::new();
        loop {
            let missing = RefCell::new(BTreeSet::new());
            let result = self.validator.compile(id, source, &|wanted| match others.get(wanted) {
                Some(found) => found.as_ref().map(|text| text.source.clone()),
                None => {
                    missing.borrow_mut().insert(wanted.clone());
                    None
                }
            });
            let missing = missing.into_inner();
            if missing.is_empty() {
                let parts = others.into_iter().map(|(id, text)| (id, text.map(|text| text.revision))).collect();
                return result.map(|compiled| (compiled, parts));
            }
            if others.len() + missing.len() > REFERENCES_MAX {
                let message = format!("schema {id} refers to more than {REFERENCES_MAX} other schemas");
                return Err(Error::invalid("invalid_schema", message));
            }
            for wanted in missing {
                let found = self.text(&wanted).await?;
                others.insert(wanted, found);
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, LruCache<SchemaId, Option<Arc<Schema>>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_pinned(&self) -> MutexGuard<'_, LruCache<(SchemaId, u32), Compiled>> {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_compiled(&self) -> MutexGuard<'_, LruCache<SchemaId, Compiled>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_schema(id: &SchemaId) -> Error {
    Error::not_found(format!("there is no schema {id}"))
}

fn changed_too_often(id: &SchemaId) -> Error {
    Error::conflict(format!("schema {id} changed too often meanwhile; try again"))
}

fn public(source: &Document) -> Object {
    Object::Public(Public::new(source.bytes().clone()))
}

#[cfg(test)]
#[path = "schemas_tests.rs"]
mod tests;
