//! Listings stay right while they are built, and after writes whose outcome is not known.

use super::*;
use crate::clock::SystemClock;
use crate::conformance;
use crate::storage::Expect;

fn query(prefix: &str, after: Option<&str>, limit: usize) -> ListQuery {
    let db = DatabaseName::parse("db").unwrap();
    let cursor = after.map(|key| conformance::names().cursors().seal(&db, prefix, &EntityKey::parse(key).unwrap()));
    ListQuery { prefix: prefix.into(), cursor, limit, metadata: false }
}

async fn keys(index: &KeyIndex, database: &str, query: &ListQuery) -> (Vec<String>, bool) {
    let page = index.list(&DatabaseName::parse(database).unwrap(), query).await.unwrap();
    (page.items.into_iter().map(|item| item.key.to_string()).collect(), page.next.is_some())
}

async fn filled(bytes_max: usize) -> (Arc<dyn Storage>, KeyIndex) {
    let storage: Arc<dyn Storage> = Arc::new(crate::builtin::memory::MemoryStorage::new());
    let sealer = conformance::sealer();
    for (database, key) in [("db", "b"), ("db", "a2"), ("db", "a1"), ("other", "x"), ("db", &"long".repeat(50))] {
        let id = conformance::id(database, key);
        let object = conformance::sealed(&sealer, &id, 1);
        storage.put(&sealer.names().entity(&id).object, &object, &Expect::Absent).await.unwrap();
    }
    let names = conformance::names();
    let limits = IndexLimits { bytes_max, max_stale: LIST_MAX_STALE };
    (storage.clone(), KeyIndex::new(storage, names, Arc::new(SystemClock), limits))
}

#[tokio::test]
async fn keys_come_in_order_by_prefix_and_page() {
    let (_, index) = filled(1 << 20).await;
    let long = "long".repeat(50);
    assert_eq!(
        keys(&index, "db", &query("", None, 10)).await,
        (vec!["a1".into(), "a2".into(), "b".into(), long], false)
    );
    assert_eq!(keys(&index, "db", &query("a", None, 1)).await, (vec!["a1".into()], true));
    assert_eq!(keys(&index, "db", &query("a", Some("a1"), 10)).await, (vec!["a2".into()], false));
    assert_eq!(keys(&index, "db", &query("b", Some("a1"), 10)).await, (vec!["b".into()], false));
    assert_eq!(keys(&index, "none", &query("", None, 10)).await, (vec![], false));
    let databases: Vec<_> = index.databases().await.unwrap().into_iter().map(|name| name.to_string()).collect();
    assert_eq!(databases, ["db", "other"]);
    let stats = index.stats();
    // Two of the three groups that were read hold something.
    assert_eq!((stats.groups, stats.keys, stats.builds), (3, 5, 3));
    let texts = "a1a2bx".len() + 4 * 50;
    assert_eq!(stats.bytes, (texts + 5 * KEY_OVERHEAD_BYTES) as u64);
}

#[tokio::test]
async fn writes_keep_a_built_index_current_and_an_emptied_database_goes() {
    let (_, index) = filled(1 << 20).await;
    index.databases().await.unwrap();
    index.record(&conformance::id("db", "a3"), Some(8));
    index.record(&conformance::id("db", "b"), None);
    index.record(&conformance::id("other", "x"), None);
    assert_eq!(keys(&index, "db", &query("a", None, 10)).await.0, ["a1", "a2", "a3"]);
    assert_eq!(keys(&index, "db", &query("b", None, 10)).await.0, [""; 0]);
    assert_eq!(keys(&index, "other", &query("", None, 10)).await.0, [""; 0]);
}

#[tokio::test]
async fn a_forgotten_database_is_read_again_from_the_storage() {
    let (_, index) = filled(1 << 20).await;
    index.databases().await.unwrap();
    index.record(&conformance::id("db", "never-stored"), Some(8));
    index.forget(&DatabaseName::parse("db").unwrap());
    assert_eq!(keys(&index, "db", &query("n", None, 10)).await.0, [""; 0]);
}

#[tokio::test]
async fn the_index_is_bounded_and_still_complete() {
    let (_, index) = filled(1).await;
    for _ in 0..3 {
        assert_eq!(index.databases().await.unwrap().len(), 2);
        assert_eq!(keys(&index, "db", &query("", None, 10)).await.0.len(), 4);
        assert_eq!(index.state().ready.len(), 1);
    }
}
