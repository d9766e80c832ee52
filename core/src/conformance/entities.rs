//! [`Entities`](crate::entities::Entities) as tests. A fixture is an async function that gives an empty store in which one
//! schema, [`SCHEMA_ID`], holds [`SCHEMA`].

use std::any::Any;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use crate::auth::{Action, Permission, Principal, Scope};
use crate::clock::Timestamp;
use crate::conformance::id;
use crate::cursor::Cursor;
use crate::document::{DEPTH_MAX, Document};
use crate::entities::{Entities, ListQuery, Precondition, PutOptions};
use crate::error::{ErrorKind, Result};
use crate::name::{DatabaseName, EntityKey, SchemaId};
use crate::patch::Patch;

/// The schema that a fixture's store has; it applies to the database of the same name.
pub const SCHEMA_ID: &str = "checked";
/// Its text.
pub const SCHEMA: &str = r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}"#;

/// What a fixture gives: something to test, and what must outlive it, a directory or a process for example.
#[derive(Clone)]
pub struct Subject(
    Arc<dyn Entities>,
    #[expect(dead_code, reason = "held for its end")] Option<Arc<dyn Any + Send + Sync>>,
);

impl Subject {
    /// Something to test.
    pub fn new(entities: impl Entities) -> Self {
        Self(Arc::new(entities), None)
    }

    /// The same, and what is to be dropped after it.
    #[must_use]
    pub fn keeping(self, kept: impl Any + Send + Sync) -> Self {
        Self(self.0, Some(Arc::new(kept)))
    }
}

impl Deref for Subject {
    type Target = dyn Entities;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// Expands to one test for each sentence of the trait's documentation.
#[macro_export]
macro_rules! conformance_entities {
    ($fixture:path) => {
        $crate::conformance_entities!(@ $fixture:
            what_was_put_is_got_byte_for_byte
            nothing_there_is_not_found
            versions_count_up_by_one_and_tags_differ
            a_recreated_entity_has_another_tag
            a_document_that_breaks_its_schema_is_not_written
            a_named_schema_that_does_not_exist_is_refused
            preconditions_hold_or_nothing_happens
            concurrent_conditional_writers_have_one_winner
            concurrent_unconditional_writers_skip_no_version
            a_batch_is_written_as_a_whole
            a_batch_with_one_bad_document_writes_none
            a_batch_has_limits
            a_patch_changes_a_part_and_keeps_the_rest
            a_patched_document_is_checked_like_any
            concurrent_patches_are_all_applied
            removing_says_whether_there_was_one
            many_are_got_in_order_and_missing_ones_marked
            listings_are_ordered_and_paged
            pages_stay_right_while_keys_come_and_go
            a_listing_tells_versions_when_asked
            databases_are_listed_while_they_hold_something
            each_operation_needs_its_permission
            a_reader_never_sees_an_older_version
            an_abandoned_write_is_whole_or_absent
        );
    };
    (@ $fixture:path: $($name:ident)*) => {
        mod entities_conformance {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    $crate::conformance::entities::$name($fixture().await).await;
                }
            )*
        }
    };
}

fn document(text: &str) -> Document {
    Document::parse(text.as_bytes(), DEPTH_MAX).unwrap()
}

fn database(name: &str) -> DatabaseName {
    DatabaseName::parse(name).unwrap()
}

fn key(text: &str) -> EntityKey {
    EntityKey::parse(text).unwrap()
}

fn when(precondition: Precondition) -> PutOptions {
    PutOptions { precondition, ..PutOptions::default() }
}

async fn put(entities: &Subject, at: &str, text: &str) -> crate::entities::Written {
    entities.put(&Principal::admin(), &id("db", at), document(text), &PutOptions::default()).await.unwrap()
}

async fn get(entities: &Subject, at: &str) -> Result<String> {
    let entity = entities.get(&Principal::admin(), &id("db", at)).await?;
    Ok(String::from_utf8(entity.document.bytes().to_vec()).unwrap())
}

async fn keys(entities: &Subject, query: &ListQuery) -> (Vec<String>, Option<Cursor>) {
    let page = entities.list(&Principal::admin(), &database("db"), query).await.unwrap();
    (page.items.iter().map(|item| item.key.to_string()).collect(), page.next)
}

fn with_metadata() -> ListQuery {
    ListQuery { metadata: true, ..ListQuery::default() }
}

/// "The entity" as it was put.
pub async fn what_was_put_is_got_byte_for_byte(entities: Subject) {
    for (at, text) in
        [("a", "{ \"b\":1.0,\"a\":123456789012345678901234567890 }"), ("ключ 😀", "\"\\u00e4\""), ("c", " 1e999\n")]
    {
        put(&entities, at, text).await;
        assert_eq!(get(&entities, at).await.unwrap(), text);
    }
    let entity = entities.get(&Principal::admin(), &id("db", "a")).await.unwrap();
    assert_eq!(entity.etag.version(), 1);
}

/// "Or `NotFound`."
pub async fn nothing_there_is_not_found(entities: Subject) {
    put(&entities, "a", "1").await;
    for missing in [id("db", "b"), id("other", "a")] {
        let error = entities.get(&Principal::admin(), &missing).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

/// "Versions count up by one."
pub async fn versions_count_up_by_one_and_tags_differ(entities: Subject) {
    let mut tags = BTreeSet::new();
    let mut before = Timestamp(0);
    for version in 1..=5 {
        let written = put(&entities, "a", "{}").await;
        assert_eq!((written.etag.version(), written.created), (version, version == 1));
        assert!(written.updated >= before);
        before = written.updated;
        tags.insert(written.etag.to_string());
        let read = entities.get(&Principal::admin(), &id("db", "a")).await.unwrap();
        assert_eq!(read.etag, written.etag);
        assert_eq!(read.updated.seconds(), written.updated.seconds());
    }
    assert_eq!(tags.len(), 5);
}

/// Equal tags mean the same write.
pub async fn a_recreated_entity_has_another_tag(entities: Subject) {
    let first = put(&entities, "a", "1").await;
    entities.delete(&Principal::admin(), &id("db", "a"), &Precondition::None).await.unwrap();
    let second = put(&entities, "a", "1").await;
    assert!(second.created);
    assert_ne!(first.etag, second.etag);
    let stale = when(Precondition::Matches(vec![first.etag]));
    let error = entities.put(&Principal::admin(), &id("db", "a"), document("2"), &stale).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
}

/// "The document is checked against the schema that applies first."
pub async fn a_document_that_breaks_its_schema_is_not_written(entities: Subject) {
    let who = Principal::admin();
    let by_name = PutOptions { schema: Some(SchemaId::parse(SCHEMA_ID).unwrap()), ..PutOptions::default() };
    for (at, options) in [(id(SCHEMA_ID, "a"), PutOptions::default()), (id("db", "a"), by_name)] {
        let error = entities.put(&who, &at, document("{\"n\":\"x\"}"), &options).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "schema_violation"));
        assert_eq!(error.violations()[0].pointer, "/n");
        assert_eq!(error.violations()[0].keyword, "type");
        assert_eq!(entities.get(&who, &at).await.unwrap_err().kind(), ErrorKind::NotFound);
        let written = entities.put(&who, &at, document("{\"n\":1}"), &options).await.unwrap();
        assert_eq!(written.etag.version(), 1);
        let page = entities.list(&who, &at.database, &with_metadata()).await.unwrap();
        assert_eq!(page.items[0].meta.as_ref().unwrap().schema, Some(SchemaId::parse(SCHEMA_ID).unwrap()));
        assert!(entities.put(&who, &at, document("{}"), &options).await.is_err());
        assert_eq!(entities.get(&who, &at).await.unwrap().document, document("{\"n\":1}"));
    }
}

/// A schema that a request names must exist.
pub async fn a_named_schema_that_does_not_exist_is_refused(entities: Subject) {
    let options = PutOptions { schema: Some(SchemaId::parse("none").unwrap()), ..PutOptions::default() };
    let error = entities.put(&Principal::admin(), &id("db", "a"), document("{}"), &options).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "unknown_schema"));
    assert!(get(&entities, "a").await.is_err());
}

/// A precondition that does not hold changes nothing.
pub async fn preconditions_hold_or_nothing_happens(entities: Subject) {
    let who = Principal::admin();
    let at = id("db", "a");
    let put_when = async |text: &str, precondition| entities.put(&who, &at, document(text), &when(precondition)).await;
    let refused = |result: Result<_>| assert_eq!(result.unwrap_err().kind(), ErrorKind::PreconditionFailed);
    refused(put_when("1", Precondition::Exists).await);
    let first = put_when("1", Precondition::Absent).await.unwrap().etag;
    refused(put_when("2", Precondition::Absent).await);
    let second = put_when("2", Precondition::Matches(vec![first])).await.unwrap().etag;
    refused(put_when("3", Precondition::Matches(vec![first])).await);
    refused(put_when("3", Precondition::NoneOf(vec![first, second])).await);
    assert_eq!(get(&entities, "a").await.unwrap(), "2");
    let second = put_when("2", Precondition::NoneOf(vec![first])).await.unwrap().etag;
    let stale = entities.delete(&who, &at, &Precondition::Matches(vec![first])).await;
    assert_eq!(stale.unwrap_err().kind(), ErrorKind::PreconditionFailed);
    assert!(entities.delete(&who, &at, &Precondition::Matches(vec![first, second])).await.unwrap());
    let gone = entities.delete(&who, &at, &Precondition::Matches(vec![second])).await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::PreconditionFailed);
}

/// Exactly one of many writers that expect the same wins.
pub async fn concurrent_conditional_writers_have_one_winner(entities: Subject) {
    let mut tag = put(&entities, "a", "0").await.etag;
    for round in 0..20 {
        let writers = (0..8).map(|n| {
            let (entities, options) = (entities.clone(), when(Precondition::Matches(vec![tag])));
            tokio::spawn(async move {
                entities.put(&Principal::admin(), &id("db", "a"), document(&format!("{n}")), &options).await
            })
        });
        let mut won = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.unwrap() {
                Ok(written) => won.push(written.etag),
                Err(error) => assert_eq!(error.kind(), ErrorKind::PreconditionFailed),
            }
        }
        assert_eq!(won.len(), 1, "round {round}");
        tag = won[0];
    }
}

/// Without a precondition every write happens, each as its own version.
pub async fn concurrent_unconditional_writers_skip_no_version(entities: Subject) {
    let writers = (0..8).map(|n| {
        let entities = entities.clone();
        tokio::spawn(async move {
            let mut versions = Vec::new();
            for round in 0..10 {
                versions.push(put(&entities, "a", &format!("{}", n * 100 + round)).await.etag.version());
            }
            versions
        })
    });
    let mut versions = BTreeSet::new();
    for writer in writers.collect::<Vec<_>>() {
        versions.extend(writer.await.unwrap());
    }
    assert_eq!(versions, (1..=80).collect());
}

/// "Writes many entities of one database, answered in order."
pub async fn a_batch_is_written_as_a_whole(entities: Subject) {
    put(&entities, "k3", "0").await;
    let documents: Vec<_> = (0..50).map(|n| (key(&format!("k{n}")), document(&format!("{n}")))).collect();
    let results = entities.put_many(&Principal::admin(), &database("db"), documents, None).await.unwrap();
    for (n, result) in results.into_iter().enumerate() {
        let written = result.unwrap();
        assert_eq!((written.etag.version(), written.created), if n == 3 { (2, false) } else { (1, true) });
        assert_eq!(get(&entities, &format!("k{n}")).await.unwrap(), n.to_string());
    }
}

/// "Every document is checked before any is written."
pub async fn a_batch_with_one_bad_document_writes_none(entities: Subject) {
    let who = Principal::admin();
    let documents =
        vec![(key("a"), document("{\"n\":1}")), (key("b~"), document("{\"n\":\"x\"}")), (key("c"), document("{}"))];
    let error = entities.put_many(&who, &database(SCHEMA_ID), documents, None).await.unwrap_err();
    let pointers: Vec<_> = error.violations().iter().map(|violation| violation.pointer.as_str()).collect();
    assert_eq!(pointers, ["/b~0/n", "/c"]);
    assert_eq!(entities.get(&who, &id(SCHEMA_ID, "a")).await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// "A key that is named twice is refused, and so are none or too many."
pub async fn a_batch_has_limits(entities: Subject) {
    let who = Principal::admin();
    let put_all = async |keys: Vec<String>| {
        let documents = keys.iter().map(|at| (key(at), document("1"))).collect();
        entities.put_many(&who, &database("db"), documents, None).await
    };
    assert_eq!(put_all(vec![]).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(put_all(vec!["a".into(), "b".into(), "a".into()]).await.unwrap_err().kind(), ErrorKind::Invalid);
    let many = (0..=crate::entities::BATCH_ENTITIES_MAX).map(|n| n.to_string()).collect();
    assert_eq!(put_all(many).await.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(keys(&entities, &ListQuery::default()).await.0, [""; 0]);
}

fn merge(text: &str) -> Patch {
    Patch::Merge(document(text))
}

fn operations(text: &str) -> Patch {
    Patch::Operations(document(text))
}

/// "The patch is applied to what is there."
pub async fn a_patch_changes_a_part_and_keeps_the_rest(entities: Subject) {
    let (who, at, plain) = (Principal::admin(), id("db", "a"), PutOptions::default());
    let refused =
        async |patch: &Patch, options: &PutOptions| entities.patch(&who, &at, patch, options).await.unwrap_err();
    assert_eq!(refused(&merge("{}"), &plain).await.kind(), ErrorKind::NotFound);
    let first = put(&entities, "a", "{\"b\":1.50,\"a\":[1]}").await.etag;
    let written = entities.patch(&who, &at, &merge("{\"c\":null,\"a\":[2]}"), &plain).await.unwrap();
    assert_eq!((written.etag.version(), written.created), (2, false));
    assert_eq!(get(&entities, "a").await.unwrap(), "{\"b\":1.50,\"a\":[2]}");
    let add = operations("[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":3}]");
    assert_eq!(refused(&add, &when(Precondition::Matches(vec![first]))).await.kind(), ErrorKind::PreconditionFailed);
    assert_eq!(refused(&add, &when(Precondition::Absent)).await.kind(), ErrorKind::PreconditionFailed);
    entities.patch(&who, &at, &add, &when(Precondition::Matches(vec![written.etag]))).await.unwrap();
    let test = operations("[{\"op\":\"test\",\"path\":\"/b\",\"value\":2},{\"op\":\"remove\",\"path\":\"/b\"}]");
    assert_eq!(refused(&test, &plain).await.code(), "patch_test_failed");
    assert_eq!(refused(&operations("[{}]"), &plain).await.code(), "bad_patch");
    assert_eq!(get(&entities, "a").await.unwrap(), "{\"b\":1.50,\"a\":[2,3]}");
    let reader = Principal { client_id: "c".into(), permissions: vec![Permission::Read], scopes: Vec::new() };
    assert_eq!(entities.patch(&reader, &at, &add, &plain).await.unwrap_err().kind(), ErrorKind::Forbidden);
}

/// "The result is written like any document."
pub async fn a_patched_document_is_checked_like_any(entities: Subject) {
    let (who, at) = (Principal::admin(), id(SCHEMA_ID, "a"));
    entities.put(&who, &at, document("{\"n\":1}"), &PutOptions::default()).await.unwrap();
    let error = entities.patch(&who, &at, &merge("{\"n\":\"x\"}"), &PutOptions::default()).await.unwrap_err();
    assert_eq!((error.code(), error.violations()[0].pointer.as_str()), ("schema_violation", "/n"));
    entities.patch(&who, &at, &merge("{\"n\":2}"), &PutOptions::default()).await.unwrap();
    assert_eq!(entities.get(&who, &at).await.unwrap().document, document("{\"n\":2}"));
}

/// "Applied again if somebody else was faster, so no patch is lost."
pub async fn concurrent_patches_are_all_applied(entities: Subject) {
    put(&entities, "a", "[]").await;
    let patchers = (0..4).map(|n| {
        let entities = entities.clone();
        tokio::spawn(async move {
            for round in 0..5 {
                let add = format!("[{{\"op\":\"add\",\"path\":\"/-\",\"value\":{}}}]", n * 10 + round);
                let (who, at) = (Principal::admin(), id("db", "a"));
                entities.patch(&who, &at, &operations(&add), &PutOptions::default()).await.unwrap();
            }
        })
    });
    for patcher in patchers.collect::<Vec<_>>() {
        patcher.await.unwrap();
    }
    let mut found: Vec<u32> = serde_json::from_str(&get(&entities, "a").await.unwrap()).unwrap();
    found.sort_unstable();
    assert_eq!(found, (0..4).flat_map(|n| (0..5).map(move |round| n * 10 + round)).collect::<Vec<_>>());
}

/// "Removes an entity, and says whether there was one; … removing nothing succeeds."
pub async fn removing_says_whether_there_was_one(entities: Subject) {
    let who = Principal::admin();
    put(&entities, "a", "1").await;
    assert!(entities.delete(&who, &id("db", "a"), &Precondition::None).await.unwrap());
    assert_eq!(get(&entities, "a").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!entities.delete(&who, &id("db", "a"), &Precondition::None).await.unwrap());
}

/// "Many entities of one database, in the order they are asked for."
pub async fn many_are_got_in_order_and_missing_ones_marked(entities: Subject) {
    let who = Principal::admin();
    put(&entities, "a", "1").await;
    let written = put(&entities, "b", "[ 2.0]").await;
    let asked: Vec<_> = ["b", "none", "a", "b"].map(key).into();
    let found = entities.get_many(&who, &database("db"), &asked).await.unwrap();
    let texts: Vec<_> =
        found.iter().map(|entity| entity.as_ref().map(|entity| entity.document.bytes().to_vec())).collect();
    assert_eq!(texts, [Some(b"[ 2.0]".to_vec()), None, Some(b"1".to_vec()), Some(b"[ 2.0]".to_vec())]);
    assert_eq!(found[0].as_ref().unwrap().etag, written.etag);
    let refused = async |asked: &[EntityKey]| entities.get_many(&who, &database("db"), asked).await.unwrap_err().kind();
    assert_eq!(refused(&[]).await, ErrorKind::Invalid);
    let many: Vec<_> = (0..=crate::entities::BATCH_ENTITIES_MAX).map(|n| key(&n.to_string())).collect();
    assert_eq!(refused(&many).await, ErrorKind::TooLarge);
}

/// "A page of the keys of a database, in order; an unknown database has none."
pub async fn listings_are_ordered_and_paged(entities: Subject) {
    for at in ["b", "a2", "a1", "ä"] {
        put(&entities, at, "1").await;
    }
    assert_eq!(
        keys(&entities, &ListQuery::default()).await,
        (vec!["a1".into(), "a2".into(), "b".into(), "ä".into()], None)
    );
    put(&entities, "a15", "1").await;
    entities.delete(&Principal::admin(), &id("db", "a2"), &Precondition::None).await.unwrap();
    let query = ListQuery { prefix: "a".into(), limit: 1, ..ListQuery::default() };
    let (first, next) = keys(&entities, &query).await;
    assert_eq!(first, ["a1"]);
    let query = ListQuery { cursor: next, ..query };
    assert_eq!(keys(&entities, &query).await, (vec!["a15".into()], None));
    let none = entities.list(&Principal::admin(), &database("none"), &ListQuery::default()).await.unwrap();
    assert!(none.items.is_empty() && none.next.is_none());
}

/// "A key that is there all the while is on exactly one page, whatever is written between the pages."
pub async fn pages_stay_right_while_keys_come_and_go(entities: Subject) {
    let staying: Vec<_> = (0..20).map(|n| format!("k{n:02}")).collect();
    for at in &staying {
        put(&entities, at, "1").await;
    }
    let mut query = ListQuery { limit: 3, ..ListQuery::default() };
    let mut seen = Vec::new();
    for round in 0.. {
        let (page, next) = keys(&entities, &query).await;
        let last = page.last().cloned().unwrap_or_default();
        seen.extend(page.into_iter().filter(|at| staying.contains(at)));
        query.cursor = next;
        if query.cursor.is_none() {
            break;
        }
        // One before the cursor, one behind it, and the key that the cursor was made of goes.
        put(&entities, &format!("a{round}"), "1").await;
        put(&entities, &format!("{last}x"), "1").await;
        if !staying.contains(&last) {
            entities.delete(&Principal::admin(), &id("db", &last), &Precondition::None).await.unwrap();
        }
    }
    assert_eq!(seen, staying);
    let made = ListQuery { limit: 3, ..ListQuery::default() };
    let elsewhere = ListQuery { prefix: "k".into(), cursor: keys(&entities, &made).await.1, ..made };
    let error = entities.list(&Principal::admin(), &database("db"), &elsewhere).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "invalid_cursor"));
}

/// "Whether each key comes with what its object's header says."
pub async fn a_listing_tells_versions_when_asked(entities: Subject) {
    let first = put(&entities, "a", "1").await;
    put(&entities, "b", "1").await;
    let second = put(&entities, "b", "2").await;
    let listed = async |query: &ListQuery| {
        let page = entities.list(&Principal::admin(), &database("db"), query).await.unwrap();
        page.items.into_iter().map(|item| (item.meta, item.size_bytes)).collect::<Vec<_>>()
    };
    let found = listed(&with_metadata()).await;
    for ((meta, size_bytes), written) in found.into_iter().zip([first, second]) {
        let meta = meta.unwrap();
        assert_eq!((meta.etag, meta.schema), (written.etag, None));
        assert_eq!(meta.updated.seconds(), written.updated.seconds());
        assert!(size_bytes > 0);
    }
    assert!(listed(&ListQuery::default()).await.iter().all(|(meta, _)| meta.is_none()));
}

/// "The databases that hold entities and that the caller may read, in order."
pub async fn databases_are_listed_while_they_hold_something(entities: Subject) {
    let who = Principal::admin();
    for database in ["zoo", "db", "chat"] {
        entities.put(&who, &id(database, "a"), document("1"), &PutOptions::default()).await.unwrap();
    }
    let listed = async |who: &Principal| {
        entities.databases(who).await.unwrap().iter().map(DatabaseName::to_string).collect::<Vec<_>>()
    };
    assert_eq!(listed(&who).await, ["chat", "db", "zoo"]);
    entities.delete(&who, &id("db", "a"), &Precondition::None).await.unwrap();
    assert_eq!(listed(&who).await, ["chat", "zoo"]);
    let scoped = Principal {
        client_id: "c".into(),
        permissions: vec![Permission::Read],
        scopes: vec![Scope { database: "chat*".into(), actions: vec![Action::Read] }],
    };
    assert_eq!(listed(&scoped).await, ["chat"]);
}

/// "Needs read", "Needs write".
pub async fn each_operation_needs_its_permission(entities: Subject) {
    put(&entities, "a", "1").await;
    let only = |permission| Principal { client_id: "c".into(), permissions: vec![permission], scopes: Vec::new() };
    let (reader, writer) = (only(Permission::Read), only(Permission::Write));
    let at = id("db", "a");
    let forbidden = |result: Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::Forbidden);
    forbidden(entities.get(&writer, &at).await.map(drop));
    forbidden(entities.list(&writer, &at.database, &ListQuery::default()).await.map(drop));
    forbidden(entities.get_many(&writer, &at.database, std::slice::from_ref(&at.key)).await.map(drop));
    forbidden(entities.databases(&writer).await.map(drop));
    forbidden(entities.put(&reader, &at, document("2"), &PutOptions::default()).await.map(drop));
    let documents = vec![(key("b"), document("1"))];
    forbidden(entities.put_many(&reader, &at.database, documents, None).await.map(drop));
    forbidden(entities.delete(&reader, &at, &Precondition::None).await.map(drop));
    assert_eq!(get(&entities, "a").await.unwrap(), "1");
    assert!(entities.get(&reader, &at).await.is_ok());
    assert!(entities.put(&writer, &at, document("2"), &PutOptions::default()).await.is_ok());
}

/// A read is never older than the last acknowledged write.
pub async fn a_reader_never_sees_an_older_version(entities: Subject) {
    put(&entities, "a", "1").await;
    let acknowledged = Arc::new(std::sync::atomic::AtomicU64::new(1));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (entities, acknowledged) = (entities.clone(), acknowledged.clone());
            tokio::spawn(async move {
                loop {
                    let at_least = acknowledged.load(std::sync::atomic::Ordering::SeqCst);
                    let read = entities.get(&Principal::admin(), &id("db", "a")).await.unwrap().etag.version();
                    assert!(read >= at_least, "read version {read} after {at_least} was acknowledged");
                    if read == 200 {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for _ in 2..=200 {
        let version = put(&entities, "a", "1").await.etag.version();
        acknowledged.store(version, std::sync::atomic::Ordering::SeqCst);
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

/// A write whose caller went away is whole or absent, and the next one counts on from it.
pub async fn an_abandoned_write_is_whole_or_absent(entities: Subject) {
    put(&entities, "a", "\"first\"").await;
    for round in 0..50_u32 {
        let text = format!("\"{}\"", "x".repeat(1000 + round as usize));
        let writer = {
            let entities = entities.clone();
            tokio::spawn(async move { put(&entities, "a", &text).await })
        };
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        writer.abort();
        let _ = writer.await;
        let before = entities.get(&Principal::admin(), &id("db", "a")).await.unwrap();
        let length = before.document.bytes().len();
        assert!(length == 7 || (1002..=1052).contains(&length));
        let after = put(&entities, "a", "\"first\"").await;
        assert!(after.etag.version() > before.etag.version());
    }
}
