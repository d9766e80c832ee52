//! Core's types as messages between a main and its workers, and back.

use delta_core::auth::{Permission, Principal, Scope};
use delta_core::clock::Timestamp;
use delta_core::document::Document;
use delta_core::engine::Kept;
use delta_core::entities::{ETag, Entity, Precondition, Written};
use delta_core::error::Violation;
use delta_core::name::{EntityKey, SchemaId};
use delta_core::{Error, ErrorKind, Result};
use tonic::Code;

use crate::error::grpc_code;
use crate::grpc::api::delta::v1 as wire;
use crate::grpc::api::delta::v1::condition::Kind;
use crate::grpc::status::violation;

/// Every kind of error.
pub(crate) const KINDS: [ErrorKind; 12] = [
    ErrorKind::Invalid,
    ErrorKind::Unauthorized,
    ErrorKind::Forbidden,
    ErrorKind::NotFound,
    ErrorKind::Conflict,
    ErrorKind::PreconditionFailed,
    ErrorKind::TooLarge,
    ErrorKind::Throttled,
    ErrorKind::Unavailable,
    ErrorKind::OutcomeUnknown,
    ErrorKind::Damaged,
    ErrorKind::Internal,
];
/// Every permission.
const PERMISSIONS: [Permission; 3] = [Permission::Read, Permission::Write, Permission::Admin];

/// What the other side should not have said.
pub(crate) fn garbled(what: &str) -> Error {
    Error::internal(format!("the other end of a cluster's stream says what this version does not know: {what}"))
}

pub(crate) fn caller(who: &Principal) -> wire::Caller {
    let json = |scope: &Scope| serde_json::to_string(scope).unwrap_or_default();
    wire::Caller {
        client_id: who.client_id.clone(),
        permissions: who.permissions.iter().map(|permission| permission.as_str().to_owned()).collect(),
        scopes: who.scopes.iter().map(json).collect(),
    }
}

pub(crate) fn principal(caller: Option<wire::Caller>) -> Result<Principal> {
    let caller = caller.ok_or_else(|| garbled("a task of nobody"))?;
    let permission = |text: &String| PERMISSIONS.into_iter().find(|known| known.as_str() == text);
    let permissions: Option<Vec<_>> = caller.permissions.iter().map(permission).collect();
    // A scope that is not understood must not become none, which is everywhere.
    let scope = |text: &String| serde_json::from_str::<Scope>(text).map_err(|_| garbled("a scope"));
    Ok(Principal {
        client_id: caller.client_id,
        permissions: permissions.ok_or_else(|| garbled("a permission"))?,
        scopes: caller.scopes.iter().map(scope).collect::<Result<_>>()?,
    })
}

pub(crate) fn schema_version(schema: &(SchemaId, u32)) -> wire::SchemaVersion {
    wire::SchemaVersion { id: schema.0.to_string(), version: schema.1 }
}

pub(crate) fn schema(wanted: Option<wire::SchemaVersion>) -> Result<Option<(SchemaId, u32)>> {
    wanted.map(|wanted| Ok((wanted.id.parse()?, wanted.version))).transpose()
}

pub(crate) fn condition(wanted: &Precondition) -> wire::Condition {
    let (kind, tags) = match wanted {
        Precondition::None => (Kind::None, [].as_slice()),
        Precondition::Absent => (Kind::Absent, [].as_slice()),
        Precondition::Exists => (Kind::Exists, [].as_slice()),
        Precondition::Matches(tags) => (Kind::Matches, tags.as_slice()),
        Precondition::NoneOf(tags) => (Kind::NoneOf, tags.as_slice()),
    };
    wire::Condition { kind: kind.into(), etags: tags.iter().map(ETag::to_text).collect() }
}

pub(crate) fn precondition(wanted: Option<&wire::Condition>) -> Result<Precondition> {
    let Some(wanted) = wanted else { return Ok(Precondition::None) };
    let tags = || wanted.etags.iter().map(|tag| tag.parse()).collect::<Result<Vec<ETag>>>();
    match Kind::try_from(wanted.kind) {
        Ok(Kind::None) => Ok(Precondition::None),
        Ok(Kind::Absent) => Ok(Precondition::Absent),
        Ok(Kind::Exists) => Ok(Precondition::Exists),
        Ok(Kind::Matches) => Ok(Precondition::Matches(tags()?)),
        Ok(Kind::NoneOf) => Ok(Precondition::NoneOf(tags()?)),
        // One that is not understood must not be ignored.
        Err(_) => Err(garbled("a condition")),
    }
}

pub(crate) fn keyed(key: &EntityKey, document: &Document) -> wire::KeyedDocument {
    wire::KeyedDocument { key: key.to_string(), document: document.bytes().clone() }
}

pub(crate) fn key_and_document(keyed: wire::KeyedDocument) -> Result<(EntityKey, Document)> {
    Ok((keyed.key.parse()?, Document::trusted(keyed.document)))
}

pub(crate) fn documents(documents: &[(EntityKey, Document)]) -> wire::KeyedDocuments {
    let documents = documents.iter().map(|(key, document)| keyed(key, document)).collect();
    wire::KeyedDocuments { documents }
}

pub(crate) fn keys_and_documents(all: wire::KeyedDocuments) -> Result<Vec<(EntityKey, Document)>> {
    all.documents.into_iter().map(key_and_document).collect()
}

pub(crate) fn found(entity: &Entity) -> wire::Found {
    wire::Found { document: entity.document.bytes().clone(), etag: entity.etag.to_text(), updated_us: entity.updated.0 }
}

pub(crate) fn entity(found: wire::Found) -> Result<Entity> {
    let document = Document::trusted(found.document);
    Ok(Entity { document, etag: found.etag.parse()?, updated: Timestamp(found.updated_us) })
}

pub(crate) fn kept_message(kept: &Kept) -> wire::Kept {
    let Written { etag, updated, created } = kept.written;
    wire::Kept { etag: etag.to_text(), updated_us: updated.0, created, size_bytes: kept.size_bytes }
}

pub(crate) fn kept(message: &wire::Kept) -> Result<Kept> {
    let (etag, updated) = (message.etag.parse()?, Timestamp(message.updated_us));
    Ok(Kept { written: Written { etag, updated, created: message.created }, size_bytes: message.size_bytes })
}

pub(crate) fn fault(error: &Error) -> wire::Fault {
    wire::Fault {
        kind: error.kind().code().into(),
        code: error.code().into(),
        message: error.to_string(),
        violations: error.violations().iter().map(violation).collect(),
    }
}

pub(crate) fn error(fault: wire::Fault) -> Error {
    let Some(kind) = KINDS.into_iter().find(|kind| kind.code() == fault.kind) else { return garbled("an error") };
    let violation = |one: wire::Violation| Violation {
        pointer: one.pointer,
        schema_pointer: one.schema_pointer,
        keyword: one.keyword,
        message: one.message,
    };
    Error::from_wire(kind, fault.code, fault.message, fault.violations.into_iter().map(violation).collect())
}

/// What an outcome would be in gRPC.
pub(crate) fn code(outcome: &wire::answer::Outcome) -> Code {
    match outcome {
        wire::answer::Outcome::Fault(fault) => {
            KINDS.into_iter().find(|kind| kind.code() == fault.kind).map_or(Code::Internal, grpc_code)
        }
        _ => Code::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use delta_core::auth::Action;

    #[test]
    fn what_is_sent_arrives() {
        let scope = Scope { database: "a*".into(), actions: vec![Action::Read, Action::Schema] };
        let who = Principal { client_id: "c".into(), permissions: vec![Permission::Read], scopes: vec![scope] };
        assert_eq!(principal(Some(caller(&who))).unwrap(), who);
        let tag: ETag = "\"3-00112233445566ff\"".parse().unwrap();
        for wanted in [
            Precondition::None,
            Precondition::Absent,
            Precondition::Exists,
            Precondition::Matches(vec![tag]),
            Precondition::NoneOf(vec![tag, tag]),
        ] {
            assert_eq!(precondition(Some(&condition(&wanted))).unwrap(), wanted);
        }
        for kind in KINDS {
            let violation = Violation {
                pointer: "/a".into(),
                schema_pointer: "/b".into(),
                keyword: "type".into(),
                message: "no".into(),
            };
            let sent = Error::from_wire(kind, "some_code", "a line", vec![violation]);
            let arrived = error(fault(&sent));
            assert_eq!((arrived.kind(), arrived.code(), arrived.to_string()), (kind, "some_code", "a line".into()));
            assert_eq!(arrived.violations(), sent.violations());
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_and_never_wider() {
        let who = wire::Caller { permissions: vec!["everything".into()], ..wire::Caller::default() };
        assert!(principal(Some(who)).is_err());
        let who = wire::Caller { scopes: vec!["{}".into()], ..wire::Caller::default() };
        assert!(principal(Some(who)).is_err());
        assert!(principal(None).is_err());
        assert!(precondition(Some(&wire::Condition { kind: 99, etags: Vec::new() })).is_err());
        assert_eq!(error(wire::Fault::default()).kind(), ErrorKind::Internal);
    }
}
