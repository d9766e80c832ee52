//! Schemas that somebody puts into the store by hand, past every process.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use serde_json::Value;

use super::*;
use crate::builtin::memory::MemoryStorage;
use crate::conformance::public;
use crate::storage::ObjectName;

/// Takes `{"ref": id}`, where there is a schema of that id, and `{}`; every document matches.
#[derive(Debug, Default)]
struct Toy {
    compiled: AtomicUsize,
}

#[derive(Debug)]
struct Anything;

impl CompiledSchema for Anything {
    fn check(&self, _: &Document) -> Result<Vec<Violation>> {
        Ok(Vec::new())
    }
}

impl Validator for Toy {
    fn compile(
        &self,
        _: &SchemaId,
        source: &Document,
        lookup: &crate::validator::SchemaLookup<'_>,
    ) -> Result<Arc<dyn CompiledSchema>> {
        self.compiled.fetch_add(1, Ordering::SeqCst);
        let value: Value = serde_json::from_slice(source.bytes()).unwrap();
        let invalid = |message: &str| Error::invalid("invalid_schema", message);
        match value.as_object().ok_or_else(|| invalid("this is no object"))?.get("ref") {
            Some(other) if lookup(&id(other.as_str().unwrap())).is_none() => Err(invalid("it refers to nothing")),
            _ => Ok(Arc::new(Anything)),
        }
    }
}

fn id(text: &str) -> SchemaId {
    SchemaId::parse(text).unwrap()
}

fn text(text: &str) -> Document {
    Document::trusted(text.to_owned().into())
}

/// A store into which people put schemas.
struct Store {
    storage: Arc<MemoryStorage>,
    validator: Arc<Toy>,
    schemas: Schemas,
}

fn store() -> Store {
    let storage = Arc::new(MemoryStorage::with(|capabilities| capabilities.hand_made_schemas = true));
    let validator = Arc::new(Toy::default());
    Store { schemas: Schemas::new(storage.clone(), validator.clone()), storage, validator }
}

impl Store {
    /// As a person does it.
    async fn drop_in(&self, name: &str, text: &str) {
        drop_in(&self.storage, name, text).await;
    }

    async fn version(&self, name: &str) -> Result<u32> {
        let database = DatabaseName::parse("db").unwrap();
        let found = self.schemas.applicable(&database, &Settings::default(), Some(&id(name))).await?;
        Ok(found.unwrap().named().1)
    }

    async fn names(&self) -> Vec<Box<str>> {
        let mut names = self.schemas.listed().await.unwrap();
        names.sort_unstable();
        names
    }
}

async fn drop_in(storage: &MemoryStorage, name: &str, text: &str) {
    let name = schema_name(&id(name), None);
    storage.put(&name, &public(text.into()), &Expect::Anything).await.unwrap();
}

#[tokio::test]
async fn what_was_put_there_by_hand_counts_for_the_next_use() {
    let store = store();
    assert_eq!(store.version("s").await.unwrap_err().code(), "unknown_schema");
    for (version, text) in [(1, "{}"), (2, "{ }"), (3, "{}")] {
        store.drop_in("s", text).await;
        assert_eq!(store.version("s").await.unwrap(), version);
        assert_eq!(store.version("s").await.unwrap(), version);
    }
    assert_eq!(store.validator.compiled.load(Ordering::SeqCst), 6, "once before it is a version, and once to keep");
    store.storage.delete(&schema_name(&id("s"), None), &Expect::Anything).await.unwrap();
    assert_eq!(store.version("s").await.unwrap_err().code(), "unknown_schema");
    assert_eq!(store.names().await, ["s@1", "s@2", "s@3"].map(Box::from));
}

#[tokio::test]
async fn what_a_schema_refers_to_counts_for_the_next_use_and_becomes_a_version() {
    let store = store();
    store.drop_in("a", r#"{"ref":"b"}"#).await;
    store.drop_in("b", r#"{"ref":"a"}"#).await;
    assert_eq!(store.version("a").await.unwrap(), 1);
    assert_eq!(store.names().await, ["a", "a@1", "b", "b@1"].map(Box::from));
    let before = store.validator.compiled.load(Ordering::SeqCst);
    store.version("a").await.unwrap();
    assert_eq!(store.validator.compiled.load(Ordering::SeqCst), before);
    store.drop_in("b", "{}").await;
    assert_eq!(store.version("a").await.unwrap(), 1);
    assert!(store.validator.compiled.load(Ordering::SeqCst) > before);
    store.drop_in("b", "{").await;
    let error = store.version("a").await.unwrap_err();
    assert!(error.to_string().contains("template b"), "{error}");
}

#[tokio::test]
async fn a_template_of_no_use_is_refused_and_no_version() {
    let store = store();
    for (text, why) in [("{\"ty", "schema s"), ("7", "no object"), (r#"{"ref":"none"}"#, "refers to nothing")] {
        store.drop_in("s", text).await;
        let error = store.version("s").await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "broken_template"), "{error}");
        assert!(error.to_string().contains("template s") && error.to_string().contains(why), "{error}");
        assert_eq!(store.names().await, [Box::from("s")]);
    }
    let admin = Principal::admin();
    assert_eq!(store.schemas.put(&admin, &id("s"), text("{}")).await.unwrap().version, 1);
    assert_eq!(store.version("s").await.unwrap(), 1);
    store.drop_in("s", "{").await;
    store.schemas.delete(&admin, &id("s")).await.unwrap();
    assert_eq!(store.schemas.delete(&admin, &id("s")).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_half_written_template_is_tried_again() {
    let store = store();
    store.drop_in("s", "{\"half").await;
    let using = store.version("s");
    let finishing = async {
        // Another use has seen the half of it by then.
        tokio::task::yield_now().await;
        drop_in(&store.storage, "s", "{}").await;
    };
    let (version, ()) = tokio::join!(using, finishing);
    assert_eq!(version.unwrap(), 1);
}

#[tokio::test]
async fn where_nobody_does_so_memory_counts() {
    let storage = Arc::new(MemoryStorage::new());
    let schemas = Schemas::new(storage.clone(), Arc::new(Toy::default()));
    schemas.put(&Principal::admin(), &id("s"), text("{}")).await.unwrap();
    drop_in(&storage, "s", "{ }").await;
    assert_eq!(schemas.get(&id("s")).await.unwrap().source, text("{}"));
    drop_in(&storage, "t", "{").await;
    assert_eq!(schemas.get(&id("t")).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn what_moves_keeps_its_versions_and_what_was_deleted_stays_so() {
    let (from, to) = (MemoryStorage::new(), store());
    for (name, content) in [("a", "{}"), ("a@1", "{ }"), ("a@2", "{}"), ("b", "{}"), ("b@1", "{}"), ("c@1", "{}")] {
        let name = ObjectName { name: name.into(), ..schema_name(&id("x"), None) };
        from.put(&name, &public(content.into()), &Expect::Absent).await.unwrap();
    }
    to.drop_in("b", "{ }").await;
    for _ in 0..2 {
        adopt(&from, &*to.storage).await.unwrap();
        assert_eq!(to.names().await, ["a", "a@1", "a@2", "b", "b@1", "c@1"].map(Box::from));
    }
    assert_eq!(to.schemas.get(&id("a")).await.unwrap().version, 2);
    assert_eq!(to.schemas.get(&id("b")).await.unwrap().version, 2, "what was there already counts");
    to.schemas.delete(&Principal::admin(), &id("a")).await.unwrap();
    adopt(&from, &*to.storage).await.unwrap();
    assert_eq!(to.schemas.list().await.unwrap(), ["b"].map(id));
}

/// Takes any schema, after another process made a version of it.
#[derive(Debug)]
struct Overtaken(Arc<MemoryStorage>);

impl Validator for Overtaken {
    fn compile(
        &self,
        id: &SchemaId,
        source: &Document,
        _: &crate::validator::SchemaLookup<'_>,
    ) -> Result<Arc<dyn CompiledSchema>> {
        let (version, object) = (schema_name(id, Some(1)), super::public(source));
        // Whatever becomes of it: it is there after the first time.
        drop(self.0.put(&version, &object, &Expect::Absent).now_or_never());
        Ok(Arc::new(Anything))
    }
}

#[tokio::test]
async fn whoever_finds_a_text_finds_the_same_version() {
    let storage = Arc::new(MemoryStorage::with(|capabilities| capabilities.hand_made_schemas = true));
    drop_in(&storage, "s", "{}").await;
    let schemas = Schemas::new(storage.clone(), Arc::new(Overtaken(storage)));
    assert_eq!(schemas.get(&id("s")).await.unwrap().version, 1);
    assert_eq!(schemas.listed().await.unwrap().len(), 2);
}
