//! The OpenAPI document: committed, complete, and the same on the running server.

use std::collections::BTreeSet;
use std::fs;

use delta_core::document::Document;
use serde_json::Value;

use crate::support::{server, workspace};

fn document() -> Value {
    serde_json::from_str(&delta_server::openapi()).unwrap()
}

/// Method, path and description of every operation.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &'_ Value)| {
        let path = path.clone();
        item.as_object().unwrap().keys().map(move |method| (method.clone(), path.clone())).collect::<Vec<_>>()
    };
    let named = paths.iter().flat_map(of_path);
    named.map(|(method, path)| (format!("{method} {path}"), &document["paths"][&path][&method])).collect()
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let file = workspace().join("openapi/deltadb.json");
    let committed = fs::read_to_string(file).unwrap_or_default();
    assert!(
        committed == delta_server::openapi(),
        "openapi/deltadb.json is stale; run: cargo run -- openapi > openapi/deltadb.json"
    );
}

#[test]
fn no_member_of_it_is_there_twice() {
    // Two answers of the same status, say, of which a reader sees only one.
    Document::parse(delta_server::openapi().as_bytes(), 128).unwrap();
}

#[test]
fn the_server_serves_the_generated_document() {
    let (_directory, server) = server();
    assert_eq!(server.anonymous().get("/openapi.json").expect(200).text(), delta_server::openapi());
}

#[test]
fn every_route_of_the_contract_is_in_it_and_no_other() {
    let document = document();
    let found: BTreeSet<String> = operations(&document).into_iter().map(|(name, _)| name).collect();
    let expected = [
        "delete /api/keys/{id}",
        "delete /api/databases/{database}",
        "delete /entity/{database}",
        "delete /entity/{database}/{key}",
        "delete /schema/{id}",
        "get /admin/schemas",
        "get /admin/stats",
        "get /admin/workers",
        "get /api/databases",
        "get /api/keys",
        "get /api/databases/{database}",
        "get /api/databases/{database}/keys",
        "get /api/me",
        "get /entity/{database}",
        "get /entity/{database}/{key}",
        "get /health",
        "get /health/live",
        "get /health/ready",
        "get /schema/{id}",
        "post /api/keys",
        "post /api/logout",
        "head /entity/{database}/{key}",
        "patch /entity/{database}/{key}",
        "post /api/databases/{database}/batch-get",
        "post /api/login",
        "post /schema/{id}/validate",
        "put /api/databases/{database}",
        "put /entity/{database}",
        "put /entity/{database}/{key}",
        "put /schema/{id}",
    ];
    assert_eq!(found, expected.map(String::from).into());
}

#[test]
fn every_operation_has_a_name_of_its_own_and_says_what_it_does() {
    let document = document();
    let mut names = BTreeSet::new();
    for (operation, described) in operations(&document) {
        let name = described["operationId"].as_str().unwrap_or_else(|| panic!("{operation}: no operationId"));
        assert!(names.insert(name.to_owned()), "{operation}: {name} is there twice");
        assert!(described["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{operation}: no summary");
    }
}

/// The definition behind a reference, or the schema itself.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null),
        None => schema,
    }
}

#[test]
fn every_response_of_every_route_has_a_described_type() {
    let document = document();
    for (operation, described) in operations(&document) {
        let responses = described["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{operation}: no success");
        for (status, response) in responses {
            let at = format!("{operation} {status}");
            // A plain success is described by its type.
            let description = response["description"].as_str().unwrap_or_else(|| panic!("{at}: no description"));
            assert!(!description.is_empty() || status == "200", "{at}: no description");
            if status == "304" {
                continue;
            }
            let content = response["content"].as_object().unwrap_or_else(|| panic!("{at}: no content"));
            let [(content_type, body)] = content.iter().collect::<Vec<_>>()[..] else { panic!("{at}: {content:?}") };
            let schema = resolved(&document, &body["schema"]);
            assert!(schema.is_object(), "{at}: no schema");
            // `{}` is a document of the client's: any JSON value.
            assert!(schema["type"].is_string() || schema.as_object().unwrap().is_empty(), "{at}: {schema}");
            // The one answer of failure that is no problem is readiness.
            let problem = content_type == "application/problem+json";
            assert!(problem || status.starts_with('2') || at == "get /health/ready 503", "{at}: {content_type}");
        }
    }
}

#[test]
fn protected_routes_say_so_and_every_field_is_described() {
    let document = document();
    let open = [
        "get /admin/schemas",
        "get /schema/{id}",
        "post /api/login",
        "get /health",
        "get /health/live",
        "get /health/ready",
    ];
    for (operation, described) in operations(&document) {
        let secured = described["security"].as_array().is_some_and(|schemes| !schemes.is_empty());
        assert_eq!(secured, !open.contains(&operation.as_str()), "{operation}");
        assert!(described["responses"].get("401").is_some() || !secured, "{operation}: 401");
    }
    // What Swagger UI's "Authorize" asks for, and where it sends it.
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(
        (&schemes["bearer"]["type"], &schemes["bearer"]["scheme"]),
        (&"http".into(), &"bearer".into()),
        "{schemes}"
    );
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, described) in schema["properties"].as_object().into_iter().flatten() {
            let text = described["description"].as_str();
            let text = text.or_else(|| resolved(&document, described)["description"].as_str());
            // A sentence beside a reference becomes `allOf`, which not every generator of clients can read.
            assert!(described.get("allOf").is_none(), "{name}.{field}: describe its type instead");
            assert!(text.is_some_and(|text| !text.is_empty()), "{name}.{field} is not described: {described}");
        }
    }
}
