//! [`Entities`](crate::entities::Entities) as tests. A fixture is an async function that gives an empty store in which one
//! schema, [`SCHEMA_ID`], holds [`SCHEMA`].

mod listing;
mod patching;
mod races;

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

pub use listing::*;
pub use patching::*;
pub use races::*;

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

/// "Removes an entity, and says whether there was one; … removing nothing succeeds."
pub async fn removing_says_whether_there_was_one(entities: Subject) {
    let who = Principal::admin();
    put(&entities, "a", "1").await;
    assert!(entities.delete(&who, &id("db", "a"), &Precondition::None).await.unwrap());
    assert_eq!(get(&entities, "a").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!entities.delete(&who, &id("db", "a"), &Precondition::None).await.unwrap());
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
