//! Many entities: read in one go, and their keys in order.

use super::*;

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
