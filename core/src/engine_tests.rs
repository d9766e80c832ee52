//! Two engines over one storage, as two processes have them: what one writes, the other knows.

use super::*;
use crate::builtin::memory::MemoryStorage;
use crate::clock::ManualClock;
use crate::conformance::{id, sealer};
use crate::document::DEPTH_MAX;
use crate::entities::ETag;
use crate::error::Violation;
use crate::validator::{CompiledSchema, SchemaLookup};

/// Every text is a schema that only documents equal to it match.
#[derive(Debug)]
struct Toy;

#[derive(Debug)]
struct Equal(Document);

impl Validator for Toy {
    fn compile(&self, _: &SchemaId, source: &Document, _: &SchemaLookup<'_>) -> Result<Arc<dyn CompiledSchema>> {
        Ok(Arc::new(Equal(source.clone())))
    }
}

impl CompiledSchema for Equal {
    fn check(&self, document: &Document) -> Result<Vec<Violation>> {
        let text = || "x".to_owned();
        let violation = || Violation { pointer: text(), schema_pointer: text(), keyword: text(), message: text() };
        Ok(if *document == self.0 { Vec::new() } else { vec![violation()] })
    }
}

struct Pair {
    clock: ManualClock,
    a: Engine,
    b: Engine,
}

fn pair(change: impl FnOnce(&mut EngineLimits)) -> Pair {
    let storage = Arc::new(MemoryStorage::with(|capabilities| capabilities.shared = true));
    let clock = ManualClock::new(Timestamp(1_000_000));
    let mut limits = EngineLimits::default();
    change(&mut limits);
    let engine = || Engine::new(storage.clone(), sealer(), Arc::new(Toy), Arc::new(clock.clone()), limits);
    Pair { a: engine(), b: engine(), clock }
}

fn admin() -> Principal {
    Principal::admin()
}

fn db() -> DatabaseName {
    DatabaseName::parse("db").unwrap()
}

fn schema() -> SchemaId {
    SchemaId::parse("s").unwrap()
}

fn document(text: &str) -> Document {
    Document::parse(text.as_bytes(), DEPTH_MAX).unwrap()
}

async fn put(engine: &Engine, text: &str, precondition: Precondition) -> Result<ETag> {
    let options = PutOptions { precondition, ..PutOptions::default() };
    Ok(engine.put(&admin(), &id("db", "k"), document(text), &options).await?.etag)
}

async fn write(engine: &Engine, text: &str) -> ETag {
    put(engine, text, Precondition::None).await.unwrap()
}

async fn delete(engine: &Engine) {
    assert!(engine.delete(&admin(), &id("db", "k"), &Precondition::None).await.unwrap());
}

/// What is read, and empty for nothing.
async fn read(engine: &Engine) -> String {
    match engine.get(&admin(), &id("db", "k")).await {
        Ok(entity) => String::from_utf8(entity.document.bytes().to_vec()).unwrap(),
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => panic!("{error}"),
    }
}

async fn keys(engine: &Engine) -> usize {
    engine.list(&admin(), &db(), &ListQuery::default()).await.unwrap().items.len()
}

#[tokio::test]
async fn a_read_is_not_older_than_a_write_through_the_other() {
    let Pair { a, b, .. } = pair(|_| {});
    for round in 0..5 {
        write(&a, &format!("{round}")).await;
        assert_eq!((read(&b).await, read(&a).await), (round.to_string(), round.to_string()));
        delete(&b).await;
        assert_eq!((read(&a).await, read(&b).await), (String::new(), String::new()));
        write(&b, "7").await;
        assert_eq!((read(&a).await, read(&b).await), ("7".into(), "7".into()));
        delete(&a).await;
        assert_eq!((read(&b).await, read(&a).await), (String::new(), String::new()));
    }
    assert!(a.cache_stats().hits > 0);
}

#[tokio::test]
async fn a_precondition_is_about_what_the_other_wrote() {
    let Pair { a, b, .. } = pair(|_| {});
    let old = write(&a, "1").await;
    let new = write(&b, "2").await;
    let newer = put(&a, "3", Precondition::Matches(vec![new])).await.unwrap();
    assert_eq!(newer.version(), 3);
    for stale in [old, new] {
        let refused = put(&b, "4", Precondition::Matches(vec![stale])).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PreconditionFailed);
    }
    assert_eq!(
        put(&b, "4", Precondition::NoneOf(vec![newer])).await.unwrap_err().kind(),
        ErrorKind::PreconditionFailed
    );
    assert!(b.delete(&admin(), &id("db", "k"), &Precondition::Matches(vec![newer])).await.unwrap());
    // A holds the deleted version in memory still.
    assert_eq!(put(&a, "5", Precondition::Exists).await.unwrap_err().kind(), ErrorKind::PreconditionFailed);
    assert_eq!(put(&b, "5", Precondition::Absent).await.unwrap().version(), 1);
    assert_eq!(put(&a, "6", Precondition::Absent).await.unwrap_err().kind(), ErrorKind::PreconditionFailed);
    delete(&b).await;
    assert_eq!(put(&a, "7", Precondition::Absent).await.unwrap().version(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increments_through_both_are_all_counted() {
    let Pair { a, b, .. } = pair(|_| {});
    write(&a, "0").await;
    let counting = [a.clone(), b.clone(), a.clone(), b].map(|engine| {
        tokio::spawn(async move {
            let mut counted = 0;
            while counted < 100 {
                let found = engine.get(&admin(), &id("db", "k")).await.unwrap();
                let number: u64 = serde_json::from_slice(found.document.bytes()).unwrap();
                let next = Precondition::Matches(vec![found.etag]);
                match put(&engine, &(number + 1).to_string(), next).await {
                    Ok(_) => counted += 1,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::PreconditionFailed, "{error}"),
                }
            }
        })
    });
    for counter in counting {
        counter.await.unwrap();
    }
    assert_eq!(read(&a).await, "400");
}

#[tokio::test]
async fn a_read_is_as_old_as_it_is_allowed_to_be_and_a_write_is_not() {
    let Pair { clock, a, b } = pair(|limits| limits.cache_max_stale = Duration::from_secs(5));
    write(&a, "1").await;
    clock.advance(Duration::from_secs(4));
    let new = write(&b, "2").await;
    assert_eq!(read(&a).await, "1");
    clock.advance(Duration::from_secs(1));
    assert_eq!(read(&a).await, "2");
    clock.advance(Duration::from_secs(4));
    write(&b, "3").await;
    assert_eq!(read(&a).await, "2");
    assert_eq!(put(&a, "0", Precondition::Matches(vec![new])).await.unwrap_err().kind(), ErrorKind::PreconditionFailed);
    assert_eq!(read(&a).await, "3");
    clock.advance(Duration::from_secs(4));
    assert_eq!(read(&a).await, "3");
    clock.advance(Duration::from_secs(1));
    // Seen to be current again, which lasts.
    assert_eq!(read(&a).await, "3");
    write(&b, r#"{"n":4}"#).await;
    assert_eq!(read(&a).await, "3");
    let patch = Patch::Merge(document(r#"{"m":5}"#));
    a.patch(&admin(), &id("db", "k"), &patch, &PutOptions::default()).await.unwrap();
    assert_eq!(read(&a).await, r#"{"n":4,"m":5}"#);
}

#[tokio::test]
async fn a_listing_is_as_old_as_it_is_allowed_to_be_and_own_writes_are_in_it() {
    let Pair { clock, a, b } = pair(|_| {});
    assert_eq!(keys(&a).await, 0);
    write(&b, "1").await;
    assert_eq!((keys(&a).await, keys(&b).await), (0, 1));
    a.put(&admin(), &id("db", "own"), document("1"), &PutOptions::default()).await.unwrap();
    assert_eq!(keys(&a).await, 1);
    clock.advance(LIST_MAX_STALE);
    assert_eq!((keys(&a).await, keys(&b).await), (2, 2));
    let Pair { a, b, .. } = pair(|limits| limits.list_max_stale = Duration::ZERO);
    assert_eq!(keys(&a).await, 0);
    write(&b, "1").await;
    assert_eq!((keys(&a).await, keys(&b).await), (1, 1));
}

#[tokio::test]
async fn schemas_count_at_once_and_settings_within_a_second() {
    let Pair { clock, a, b } = pair(|_| {});
    write(&b, "1").await;
    a.schemas().put(&admin(), &schema(), document("2")).await.unwrap();
    let settings = Settings { schema_id: Some(schema()), require_schema: true };
    a.databases().set(&admin(), &db(), settings).await.unwrap();
    clock.advance(Duration::from_secs(1));
    let code = async |engine: &Engine, text: &str| match put(engine, text, Precondition::None).await {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.code().to_owned(),
    };
    assert_eq!((code(&b, "2").await, code(&b, "1").await), ("ok".into(), "schema_violation".into()));
    a.schemas().put(&admin(), &schema(), document("3")).await.unwrap();
    assert_eq!((code(&b, "3").await, code(&b, "2").await), ("ok".into(), "schema_violation".into()));
}

#[tokio::test]
async fn a_drop_through_one_is_one_for_the_other() {
    let Pair { clock, a, b } = pair(|_| {});
    write(&a, "1").await;
    read(&b).await;
    // The process that begins it is killed at once.
    a.0.databases.mark(&db()).await.unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(b.get(&admin(), &id("db", "k")).await.unwrap_err().code(), "dropping");
    // And whoever has met it goes on with it.
    while b.0.databases.marked_for(&db()).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(1));
    assert_eq!((read(&a).await, read(&b).await), (String::new(), String::new()));
    assert_eq!(write(&a, "2").await.version(), 1);
}

#[tokio::test]
async fn who_is_late_with_a_drop_removes_nothing_of_the_next_life() {
    let Pair { clock, a, b } = pair(|_| {});
    write(&a, "1").await;
    a.0.databases.mark(&db()).await.unwrap();
    let late = b.0.databases.marked_for(&db()).await.unwrap().unwrap();
    let removals = b.0.removals(&[id("db", "k")]).await.unwrap();
    a.0.remove_all(&db()).await.unwrap();
    clock.advance(Duration::from_secs(1));
    write(&a, "2").await;
    b.0.remove_page(&db(), &[id("db", "k")], removals).await.unwrap();
    assert_eq!(read(&b).await, "2");
    // It does not end the next drop either.
    a.0.databases.mark(&db()).await.unwrap();
    let next = a.0.databases.marked_for(&db()).await.unwrap().unwrap();
    assert_ne!(next, late);
    b.0.databases.unmark(&db(), &late).await.unwrap();
    assert_eq!(a.0.databases.marked_for(&db()).await.unwrap(), Some(next));
    // Nor does it go on where there is no drop any more.
    a.0.remove_all(&db()).await.unwrap();
    clock.advance(Duration::from_secs(1));
    write(&a, "3").await;
    b.0.remove_all(&db()).await.unwrap();
    assert_eq!(read(&b).await, "3");
}
