//! The schemas of a store: which one applies to a document, and its versions, which never change.
//!
//! A schema is two kinds of objects: its current text, and every version it ever had, written once. A document's header
//! names schema and version. The surprise: the current text decides, so a text put there by hand becomes a version when
//! it is first used.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::TryStreamExt;
use lru::LruCache;

use crate::address::schema_name;
use crate::auth::Principal;
use crate::databases::Settings;
use crate::document::{DEPTH_MAX_CEILING, Document};
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::name::{DatabaseName, EntityKey, SchemaId};
use crate::storage::{Expect, Group, Object, Public, Revision, Space, Storage};
use crate::validator::{CompiledSchema, VIOLATIONS_MAX, Validator};

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

#[derive(Debug, Clone)]
struct Compiled {
    schema: Arc<dyn CompiledSchema>,
    /// Every schema it was compiled from, itself included, at the version that was current.
    parts: Vec<(SchemaId, Option<u32>)>,
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
        match found {
            Some((id, schema)) => {
                let compiled = self.compiled(&id, &schema).await?;
                Ok(Some(Applicable { id, version: schema.version, compiled }))
            }
            None if settings.require_schema => {
                let message =
                    format!("database {database} takes only documents with a schema; name one with schema_id");
                Err(Error::invalid("schema_required", message))
            }
            None => Ok(None),
        }
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
        self.compile(id, &source).await?;
        let _turn = self.writing.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            let current = self.load(id).await?;
            if let Some(current) = current.as_ref().filter(|current| current.source == source) {
                return Ok(current.clone());
            }
            let expect = current.map_or(Expect::Absent, |schema| Expect::Revision(schema.revision.clone()));
            let version = self.add_version(id, &source).await?;
            match self.storage.put(&schema_name(id, None), &public(&source), &expect).await {
                Ok(revision) => return Ok(self.know(id, Schema { version, source, revision })),
                Err(error) => self.failed(id, error)?,
            }
        }
        Err(Error::conflict(format!("schema {id} changed too often meanwhile; try again")))
    }

    /// Removes a schema, or `NotFound`; its versions stay, since documents name them. Needs the right to write schemas.
    /// Whether a database is bound to it is asked by [`crate::databases::Databases::delete_schema`].
    pub(crate) async fn delete(&self, who: &Principal, id: &SchemaId) -> Result<()> {
        who.require_schema_write()?;
        let _turn = self.writing.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            let current = self.load(id).await?.ok_or_else(|| no_schema(id))?;
            let expect = Expect::Revision(current.revision.clone());
            match self.storage.delete(&schema_name(id, None), &expect).await {
                Ok(()) => {
                    self.known().put(id.clone(), None);
                    return Ok(());
                }
                Err(error) => self.failed(id, error)?,
            }
        }
        Err(Error::conflict(format!("schema {id} changed too often meanwhile; try again")))
    }

    /// After a failed write nothing is known; only a conflict may be tried again.
    fn failed(&self, id: &SchemaId, error: Error) -> Result<()> {
        self.known().pop(id);
        if error.kind() == ErrorKind::Conflict { Ok(()) } else { Err(error) }
    }

    /// The current text, from memory where this process owns the store.
    async fn current(&self, id: &SchemaId) -> Result<Option<Arc<Schema>>> {
        if self.storage.capabilities().shared {
            return self.load(id).await;
        }
        if let Some(known) = self.known().get(id) {
            return Ok(known.clone());
        }
        // What is read here must not replace what a writer learns meanwhile.
        let _turn = self.writing.lock().await;
        self.load(id).await
    }

    /// Looks at the storage unless memory can be trusted; where this process owns the store, only for the holder of the turn.
    async fn load(&self, id: &SchemaId) -> Result<Option<Arc<Schema>>> {
        let remembered = self.known().get(id).cloned();
        if let (Some(known), false) = (&remembered, self.storage.capabilities().shared) {
            return Ok(known.clone());
        }
        let Some(stored) = self.storage.get(&schema_name(id, None)).await? else {
            self.known().put(id.clone(), None);
            return Ok(None);
        };
        if let Some(known) = remembered.flatten().filter(|known| known.revision == stored.revision) {
            return Ok(Some(known));
        }
        let source =
            Document::parse(&stored.bytes, DEPTH_MAX_CEILING).map_err(|error| error.context(format!("schema {id}")))?;
        let version = self.version_of(id, &source).await?;
        Ok(Some(self.know(id, Schema { version, source, revision: stored.revision })))
    }

    fn know(&self, id: &SchemaId, schema: Schema) -> Arc<Schema> {
        let schema = Arc::new(schema);
        self.known().put(id.clone(), Some(schema.clone()));
        schema
    }

    /// The version that a text is: the newest one if that is it, else a new one.
    async fn version_of(&self, id: &SchemaId, source: &Document) -> Result<u32> {
        if let Some(newest) = self.newest_version(id).await? {
            let stored = self.storage.get(&schema_name(id, Some(newest))).await?;
            if stored.is_some_and(|stored| stored.bytes == source.bytes()) {
                return Ok(newest);
            }
        }
        self.add_version(id, source).await
    }

    /// Writes a text as the next version.
    async fn add_version(&self, id: &SchemaId, source: &Document) -> Result<u32> {
        for _ in 0..ATTEMPTS_MAX {
            let version = self.newest_version(id).await?.unwrap_or(0) + 1;
            match self.storage.put(&schema_name(id, Some(version)), &public(source), &Expect::Absent).await {
                Ok(_) => return Ok(version),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::conflict(format!("schema {id} changed too often meanwhile; try again")))
    }

    async fn newest_version(&self, id: &SchemaId) -> Result<Option<u32>> {
        let names = self.listed().await?;
        let versions = names.iter().filter_map(|name| name.rsplit_once('@').filter(|(stem, _)| *stem == id.as_str()));
        Ok(versions.filter_map(|(_, version)| version.parse().ok()).max())
    }

    async fn listed(&self) -> Result<Vec<Box<str>>> {
        self.storage.list(Space::Templates, &Group::none()).map_ok(|listed| listed.name).try_collect().await
    }

    /// The compiled current text, compiled again when it or anything it refers to has changed.
    async fn compiled(&self, id: &SchemaId, schema: &Schema) -> Result<Arc<dyn CompiledSchema>> {
        let kept = self.lock_compiled().get(id).cloned();
        if let Some(kept) = kept {
            let mut same = true;
            for (part, version) in &kept.parts {
                let now =
                    if part == id { Some(schema.version) } else { self.current(part).await?.map(|part| part.version) };
                same &= now == *version;
            }
            if same {
                return Ok(kept.schema);
            }
        }
        let (compiled, mut parts) = self.compile(id, &schema.source).await?;
        parts.push((id.clone(), Some(schema.version)));
        self.lock_compiled().put(id.clone(), Compiled { schema: compiled.clone(), parts });
        Ok(compiled)
    }

    /// Compiles a text, fetching the schemas it refers to until none is missing.
    async fn compile(
        &self,
        id: &SchemaId,
        source: &Document,
    ) -> Result<(Arc<dyn CompiledSchema>, Vec<(SchemaId, Option<u32>)>)> {
        let mut others: HashMap<SchemaId, Option<Arc<Schema>>> = HashMap::new();
        loop {
            let missing = RefCell::new(BTreeSet::new());
            let result = self.validator.compile(id, source, &|wanted| match others.get(wanted) {
                Some(found) => found.as_ref().map(|schema| schema.source.clone()),
                None => {
                    missing.borrow_mut().insert(wanted.clone());
                    None
                }
            });
            let missing = missing.into_inner();
            if missing.is_empty() {
                let parts = others.into_iter().map(|(id, schema)| (id, schema.map(|schema| schema.version))).collect();
                return result.map(|compiled| (compiled, parts));
            }
            if others.len() + missing.len() > REFERENCES_MAX {
                let message = format!("schema {id} refers to more than {REFERENCES_MAX} other schemas");
                return Err(Error::invalid("invalid_schema", message));
            }
            for wanted in missing {
                let found = self.current(&wanted).await?;
                others.insert(wanted, found);
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, LruCache<SchemaId, Option<Arc<Schema>>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_compiled(&self) -> MutexGuard<'_, LruCache<SchemaId, Compiled>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_schema(id: &SchemaId) -> Error {
    Error::not_found(format!("there is no schema {id}"))
}

fn public(source: &Document) -> Object {
    Object::Public(Public::new(source.bytes().clone()))
}
