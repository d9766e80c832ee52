//! What the services do beyond the suite of `Entities`.

use delta_server::grpc_api::delta::v1 as wire;
use delta_server::grpc_api::delta::v1::patch_entity_request::Patch;
use delta_server::grpc_api::delta::v1::put_entities_request::Item;
use delta_server::grpc_api::delta::v1::put_entities_response::result::Outcome;
use tonic::Code;

use super::{Port, admin, get, put, refused};

#[tokio::test]
async fn a_version_that_the_caller_has_is_not_sent_again() {
    let port = Port::open();
    let version = port.put("k", "{ }").await.version.unwrap();
    assert!(version.etag.starts_with("\"1-") && version.number == 1 && version.updated.is_some());
    let known = || wire::GetEntityRequest { if_none_match: vec![version.etag.clone()], ..get("k") };
    let answer = port.entities().get(admin(known())).await.unwrap().into_inner();
    assert!(answer.not_modified && answer.document.is_empty());
    assert_eq!(answer.version.unwrap().etag, version.etag);
    port.put("k", "2").await;
    let answer = port.entities().get(admin(known())).await.unwrap().into_inner();
    assert_eq!((answer.not_modified, &answer.document[..]), (false, &b"2"[..]));
    let wrong = wire::GetEntityRequest { if_none_match: vec!["*".into()], ..get("k") };
    refused(port.entities().get(admin(wrong)).await, Code::InvalidArgument, "invalid_etag");
}

#[tokio::test]
async fn a_part_of_a_document_is_read_by_its_pointer() {
    let port = Port::open();
    port.put("k", r#"{"a":[1, {"b~/": 1.50 }]}"#).await;
    let part = |pointer: &str| wire::GetEntityRequest { pointer: pointer.into(), ..get("k") };
    for (pointer, found) in [("/a/1/b~0~1", "1.50"), ("/a", r#"[1, {"b~/": 1.50 }]"#)] {
        let answer = port.entities().get(admin(part(pointer))).await.unwrap().into_inner();
        assert_eq!(&answer.document[..], found.as_bytes(), "{pointer}");
    }
    refused(port.entities().get(admin(part("/b"))).await, Code::NotFound, "pointer_not_found");
    refused(port.entities().get(admin(part("a"))).await, Code::InvalidArgument, "invalid_pointer");
}

#[tokio::test]
async fn many_are_written_and_read_in_order() {
    let port = Port::open();
    let item = |key: &str, document: &str| Item { key: key.into(), document: document.to_owned().into() };
    let entities = vec![item("b", "1"), item("a", "2")];
    let many = wire::PutEntitiesRequest { database: "db".into(), entities, schema_id: String::new() };
    let results = port.entities().put_many(admin(many)).await.unwrap().into_inner().results;
    assert_eq!(results.len(), 2);
    for result in results {
        let Some(Outcome::Written(written)) = result.outcome else { panic!("a failure") };
        assert!(written.created);
    }
    let asked = |keys: &[&str]| wire::BatchGetRequest {
        database: "db".into(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
    };
    let found = port.entities().batch_get(admin(asked(&["a", "none", "b"]))).await.unwrap().into_inner().entities;
    let found: Vec<_> =
        found.iter().map(|item| (&*item.key, item.entity.as_ref().map(|one| &one.document[..]))).collect();
    assert_eq!(found, [("a", Some(&b"2"[..])), ("none", None), ("b", Some(&b"1"[..]))]);
    refused(port.entities().batch_get(admin(asked(&["a/b"]))).await, Code::InvalidArgument, "invalid_key");
    let entities = vec![item("c", "1"), item("d", "{")];
    let many = wire::PutEntitiesRequest { database: "db".into(), entities, schema_id: String::new() };
    let message = refused(port.entities().put_many(admin(many)).await, Code::InvalidArgument, "bad_json");
    assert!(message.starts_with("d: "), "{message}");
    refused(port.entities().get(admin(get("c"))).await, Code::NotFound, "not_found");
}

#[tokio::test]
async fn pages_follow_each_other() {
    let port = Port::open();
    for key in ["a1", "a2", "a3", "b"] {
        port.put(key, "1").await;
    }
    let page = |page_size, page_token: &str| wire::ListKeysRequest {
        database: "db".into(),
        prefix: "a".into(),
        page_size,
        page_token: page_token.into(),
        metadata: true,
    };
    let first = port.entities().list(admin(page(2, ""))).await.unwrap().into_inner();
    let keys = |answer: &wire::ListKeysResponse| answer.keys.iter().map(|key| key.key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&first), ["a1", "a2"]);
    assert_eq!(first.keys[0].version.as_ref().unwrap().number, 1);
    let second = port.entities().list(admin(page(2, &first.next_page_token))).await.unwrap().into_inner();
    assert_eq!((keys(&second), second.next_page_token.as_str()), (vec!["a3".to_owned()], ""));
    let all = port.entities().list(admin(page(1_000_000, ""))).await.unwrap().into_inner();
    assert_eq!(keys(&all).len(), 3);
    refused(port.entities().list(admin(page(-1, ""))).await, Code::InvalidArgument, "invalid_limit");
    refused(port.entities().list(admin(page(1, "x"))).await, Code::InvalidArgument, "invalid_cursor");
}

#[tokio::test]
async fn a_database_has_settings_and_an_end() {
    let port = Port::open();
    let mut databases = port.databases();
    let named = || wire::GetDatabaseRequest { database: "db".into() };
    refused(databases.get(admin(named())).await, Code::NotFound, "not_found");
    port.put("k", "1").await;
    let found = databases.get(admin(named())).await.unwrap().into_inner();
    assert!(found.name == "db" && found.dropping.is_none() && !found.settings.unwrap().require_schema);
    let set = |settings| wire::SetDatabaseRequest { database: "db".into(), settings };
    refused(databases.set(admin(set(None))).await, Code::InvalidArgument, "missing_settings");
    let settings = |schema_id: &str| Some(wire::Settings { schema_id: schema_id.into(), require_schema: true });
    refused(databases.set(admin(set(settings("none")))).await, Code::InvalidArgument, "unknown_schema");
    databases.set(admin(set(settings("")))).await.unwrap();
    assert!(databases.get(admin(named())).await.unwrap().into_inner().settings.unwrap().require_schema);
    let refusal = port.entities().put(admin(put("k", "2"))).await.err().unwrap();
    assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal:?}");
    databases.drop(admin(wire::DropDatabaseRequest { database: "db".into() })).await.unwrap();
    while databases.get(admin(named())).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(databases.list(admin(wire::ListDatabasesRequest {})).await.unwrap().into_inner().databases, [""; 0]);
    port.put("k", "1").await;
}

#[tokio::test]
async fn a_schema_is_everybodys_to_read_and_can_be_tried() {
    let port = Port::open();
    let mut schemas = port.schemas();
    let text = r#"{ "type":"integer" }"#;
    let put = || wire::PutSchemaRequest { id: "s".into(), source: text.into() };
    refused(schemas.put(put()).await, Code::Unauthenticated, "unauthorized");
    assert_eq!(schemas.put(admin(put())).await.unwrap().into_inner().version, 1);
    assert_eq!(schemas.list(wire::ListSchemasRequest {}).await.unwrap().into_inner().ids, ["s"]);
    let found = schemas.get(wire::GetSchemaRequest { id: "s".into() }).await.unwrap().into_inner();
    assert_eq!((&found.source[..], found.version), (text.as_bytes(), 1));
    refused(schemas.get(wire::GetSchemaRequest { id: "none".into() }).await, Code::NotFound, "not_found");
    let validate = |document: &str| wire::ValidateRequest { id: "s".into(), document: document.to_owned().into() };
    assert!(schemas.validate(admin(validate("1"))).await.unwrap().into_inner().valid);
    let answer = schemas.validate(admin(validate("\"x\""))).await.unwrap().into_inner();
    assert!(!answer.valid && answer.violations[0].keyword == "type");
    let bound = Some(wire::Settings { schema_id: "s".into(), require_schema: false });
    port.databases().set(admin(wire::SetDatabaseRequest { database: "db".into(), settings: bound })).await.unwrap();
    let delete = || wire::DeleteSchemaRequest { id: "s".into() };
    refused(schemas.delete(admin(delete())).await, Code::Aborted, "schema_in_use");
    port.databases()
        .set(admin(wire::SetDatabaseRequest { database: "db".into(), settings: Some(wire::Settings::default()) }))
        .await
        .unwrap();
    schemas.delete(admin(delete())).await.unwrap();
    refused(schemas.delete(admin(delete())).await, Code::NotFound, "not_found");
}

#[tokio::test]
async fn a_patch_changes_a_part() {
    let port = Port::open();
    port.put("k", r#"{"a":1.0,"b":2}"#).await;
    let patch = |patch| wire::PatchEntityRequest {
        database: "db".into(),
        key: "k".into(),
        patch,
        ..wire::PatchEntityRequest::default()
    };
    let merge = |text: &str| patch(Some(Patch::Merge(text.to_owned().into())));
    let operations = |text: &str| patch(Some(Patch::Operations(text.to_owned().into())));
    let mut entities = port.entities();
    let written = entities.patch(admin(merge(r#"{"b":null,"c":3}"#))).await.unwrap().into_inner();
    assert_eq!((written.created, written.version.unwrap().number), (false, 2));
    let test = r#"[{"op":"test","path":"/c","value":3},{"op":"replace","path":"/c","value":4}]"#;
    entities.patch(admin(operations(test))).await.unwrap();
    let found = entities.get(admin(get("k"))).await.unwrap().into_inner();
    assert_eq!((&found.document[..], found.version.unwrap().number), (&br#"{"a":1.0,"c":4}"#[..], 3));
    refused(entities.patch(admin(operations(test))).await, Code::Aborted, "patch_test_failed");
    refused(entities.patch(admin(patch(None))).await, Code::InvalidArgument, "bad_patch");
    refused(entities.patch(admin(merge("{"))).await, Code::InvalidArgument, "bad_json");
}
