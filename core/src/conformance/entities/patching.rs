//! Changes to a part of an entity.

use super::*;
use crate::patch::Patch;

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
