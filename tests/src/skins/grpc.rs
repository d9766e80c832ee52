//! `Entities` through gRPC.

use std::net::SocketAddr;
use std::str::FromStr;

use async_trait::async_trait;
use delta_core::auth::Principal;
use delta_core::clock::Timestamp;
use delta_core::document::{DEPTH_MAX_CEILING, Document};
use delta_core::entities::{
    ETag, Entities, Entity, KeyMeta, ListQuery, ListedKey, Page, Precondition, PutOptions, Written,
};
use delta_core::error::Violation;
use delta_core::name::{DatabaseName, EntityId, EntityKey, SchemaId};
use delta_core::patch::Patch;
use delta_core::{Error, ErrorKind, Result};
use delta_server::grpc_api::delta::v1 as wire;
use delta_server::grpc_api::delta::v1::databases_client::DatabasesClient;
use delta_server::grpc_api::delta::v1::entities_client::EntitiesClient;
use delta_server::grpc_api::delta::v1::patch_entity_request::Patch as PatchKind;
use delta_server::grpc_api::delta::v1::precondition::{Condition, ETags};
use delta_server::grpc_api::delta::v1::put_entities_response::result::Outcome;
use prost::Message;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::skins::credentials::Credentials;

/// The largest answer that is taken: a batch has at most 16 MiB of documents.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// A client of one server.
#[derive(Debug)]
pub struct GrpcEntities {
    channel: Channel,
    credentials: Credentials,
}

/// A connection to a server's gRPC port, made when it is first needed.
pub fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_lazy()
}

/// A message with a bearer token beside it.
pub fn with_bearer<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("a token is ASCII");
    request.metadata_mut().insert("authorization", value);
    request
}

impl GrpcEntities {
    /// A client of the server that listens here for gRPC and there for REST.
    pub fn new(grpc: SocketAddr, rest: SocketAddr) -> Self {
        Self { channel: channel(grpc), credentials: Credentials::new(rest) }
    }

    fn client(&self) -> EntitiesClient<Channel> {
        let client = EntitiesClient::new(self.channel.clone());
        client.max_decoding_message_size(ANSWER_BYTES_MAX).max_encoding_message_size(ANSWER_BYTES_MAX)
    }

    fn ask<T>(&self, who: &Principal, message: T) -> Request<T> {
        with_bearer(message, &self.credentials.of(who))
    }
}

#[async_trait]
impl Entities for GrpcEntities {
    async fn get(&self, who: &Principal, id: &EntityId) -> Result<Entity> {
        let (database, key) = names(id);
        let asked = wire::GetEntityRequest { database, key, ..wire::GetEntityRequest::default() };
        let found = self.client().get(self.ask(who, asked)).await.map_err(|status| error(&status))?;
        entity(found.into_inner())
    }

    async fn put(&self, who: &Principal, id: &EntityId, document: Document, options: &PutOptions) -> Result<Written> {
        let (database, key) = names(id);
        let document = document.bytes().clone();
        let (schema_id, precondition) = (schema(options.schema.as_ref()), precondition(&options.precondition));
        let asked = wire::PutEntityRequest { database, key, document, schema_id, precondition };
        let done = self.client().put(self.ask(who, asked)).await.map_err(|status| error(&status))?;
        written(done.into_inner())
    }

    async fn put_many(
        &self,
        who: &Principal,
        database: &DatabaseName,
        documents: Vec<(EntityKey, Document)>,
        schema_id: Option<&SchemaId>,
    ) -> Result<Vec<Result<Written>>> {
        let item = |(key, document): (EntityKey, Document)| wire::put_entities_request::Item {
            key: key.into(),
            document: document.bytes().clone(),
        };
        let entities = documents.into_iter().map(item).collect();
        let asked = wire::PutEntitiesRequest { database: database.to_string(), entities, schema_id: schema(schema_id) };
        let done = self.client().put_many(self.ask(who, asked)).await.map_err(|status| error(&status))?;
        let outcome = |result: wire::put_entities_response::Result| match result.outcome {
            Some(Outcome::Written(done)) => Ok(written(done)),
            Some(Outcome::Failure(failure)) => {
                let kind = kind(Code::from_i32(failure.status), &failure.code);
                Ok(Err(Error::from_wire(kind, failure.code, failure.message, Vec::new())))
            }
            None => Err(unexpected("a result without an outcome")),
        };
        done.into_inner().results.into_iter().map(outcome).collect()
    }

    async fn patch(&self, who: &Principal, id: &EntityId, patch: &Patch, options: &PutOptions) -> Result<Written> {
        let (database, key) = names(id);
        let patch = Some(match patch {
            Patch::Merge(document) => PatchKind::Merge(document.bytes().clone()),
            Patch::Operations(document) => PatchKind::Operations(document.bytes().clone()),
        });
        let (schema_id, precondition) = (schema(options.schema.as_ref()), precondition(&options.precondition));
        let asked = wire::PatchEntityRequest { database, key, patch, schema_id, precondition };
        let done = self.client().patch(self.ask(who, asked)).await.map_err(|status| error(&status))?;
        written(done.into_inner())
    }

    async fn delete(&self, who: &Principal, id: &EntityId, wanted: &Precondition) -> Result<bool> {
        let (database, key) = names(id);
        let asked = wire::DeleteEntityRequest { database, key, precondition: precondition(wanted) };
        let done = self.client().delete(self.ask(who, asked)).await.map_err(|status| error(&status))?;
        Ok(done.into_inner().existed)
    }

    async fn get_many(
        &self,
        who: &Principal,
        database: &DatabaseName,
        keys: &[EntityKey],
    ) -> Result<Vec<Option<Entity>>> {
        let keys: Vec<_> = keys.iter().map(EntityKey::to_string).collect();
        let asked = wire::BatchGetRequest { database: database.to_string(), keys: keys.clone() };
        let found = self.client().batch_get(self.ask(who, asked)).await.map_err(|status| error(&status))?;
        let found = found.into_inner().entities;
        if !found.iter().map(|item| &item.key).eq(&keys) {
            return Err(unexpected("other keys than were asked for"));
        }
        found.into_iter().map(|item| item.entity.map(entity).transpose()).collect()
    }

    async fn list(&self, who: &Principal, database: &DatabaseName, query: &ListQuery) -> Result<Page> {
        let asked = wire::ListKeysRequest {
            database: database.to_string(),
            prefix: query.prefix.clone(),
            page_size: i32::try_from(query.limit).unwrap_or(i32::MAX),
            page_token: query.cursor.as_ref().map(|cursor| cursor.as_str().to_owned()).unwrap_or_default(),
            metadata: query.metadata,
        };
        let page = self.client().list(self.ask(who, asked)).await.map_err(|status| error(&status))?.into_inner();
        let items = page.keys.into_iter().map(listed).collect::<Result<_>>()?;
        Ok(Page { items, next: optional(&page.next_page_token)? })
    }

    async fn databases(&self, who: &Principal) -> Result<Vec<DatabaseName>> {
        let mut client = DatabasesClient::new(self.channel.clone());
        let found = client.list(self.ask(who, wire::ListDatabasesRequest {})).await.map_err(|status| error(&status))?;
        found.into_inner().databases.iter().map(|name| name.parse()).collect()
    }
}

fn names(id: &EntityId) -> (String, String) {
    (id.database.to_string(), id.key.to_string())
}

fn schema(id: Option<&SchemaId>) -> String {
    id.map(SchemaId::to_string).unwrap_or_default()
}

fn precondition(wanted: &Precondition) -> Option<wire::Precondition> {
    let condition = match wanted {
        Precondition::None => return None,
        Precondition::Absent => Condition::IfAbsent(()),
        Precondition::Exists => Condition::IfExists(()),
        Precondition::Matches(tags) => Condition::IfMatch(etags(tags)),
        Precondition::NoneOf(tags) => Condition::IfNoneMatch(etags(tags)),
    };
    Some(wire::Precondition { condition: Some(condition) })
}

fn etags(tags: &[ETag]) -> ETags {
    ETags { etags: tags.iter().map(ETag::to_text).collect() }
}

fn optional<T: FromStr<Err = Error>>(text: &str) -> Result<Option<T>> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

/// A version: its tag and when it was written.
fn version(version: Option<wire::Version>) -> Result<(ETag, Timestamp)> {
    let version = version.ok_or_else(|| unexpected("no version"))?;
    let updated = version.updated.ok_or_else(|| unexpected("no time"))?;
    let micros = updated.seconds.unsigned_abs() * 1_000_000 + u64::from(updated.nanos.unsigned_abs()) / 1_000;
    let etag: ETag = version.etag.parse()?;
    if etag.version() != version.number {
        return Err(unexpected("a number that is not the tag's"));
    }
    Ok((etag, Timestamp(micros)))
}

fn entity(found: wire::Entity) -> Result<Entity> {
    let (etag, updated) = version(found.version)?;
    Ok(Entity { document: Document::parse(&found.document, DEPTH_MAX_CEILING)?, etag, updated })
}

fn written(done: wire::Written) -> Result<Written> {
    let (etag, updated) = version(done.version)?;
    Ok(Written { etag, updated, created: done.created })
}

fn listed(key: wire::ListedKey) -> Result<ListedKey> {
    let schema = optional(&key.schema_id)?;
    let meta = match key.version {
        Some(some) => version(Some(some)).map(|(etag, updated)| Some(KeyMeta { etag, updated, schema }))?,
        None => None,
    };
    Ok(ListedKey { key: key.key.parse()?, size_bytes: key.size_bytes, meta })
}

/// The error that a status stands for, with its stable code and every violation.
pub fn error(status: &Status) -> Error {
    let details = tonic_types::pb::Status::decode(status.details()).unwrap_or_default().details;
    let detail = |name: &str| details.iter().find(|any| any.type_url.ends_with(name)).map(|any| any.value.as_slice());
    let info = detail("/google.rpc.ErrorInfo").and_then(|value| tonic_types::pb::ErrorInfo::decode(value).ok());
    let code = info.filter(|info| info.domain == "deltadb").map(|info| info.reason).unwrap_or_default();
    let violations = detail("/delta.v1.Violations").and_then(|value| wire::Violations::decode(value).ok());
    let violation = |violation: wire::Violation| Violation {
        pointer: violation.pointer,
        schema_pointer: violation.schema_pointer,
        keyword: violation.keyword,
        message: violation.message,
    };
    let violations = violations.into_iter().flat_map(|all| all.violations).map(violation).collect();
    Error::from_wire(kind(status.code(), &code), code, status.message(), violations)
}

/// What a code of gRPC tells the caller to do next.
fn kind(status: Code, code: &str) -> ErrorKind {
    match status {
        Code::InvalidArgument => ErrorKind::Invalid,
        Code::Unauthenticated => ErrorKind::Unauthorized,
        Code::PermissionDenied => ErrorKind::Forbidden,
        Code::NotFound => ErrorKind::NotFound,
        Code::Aborted => ErrorKind::Conflict,
        Code::FailedPrecondition => ErrorKind::PreconditionFailed,
        Code::OutOfRange => ErrorKind::TooLarge,
        Code::ResourceExhausted => ErrorKind::Throttled,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::Unknown | Code::DeadlineExceeded | Code::Cancelled => ErrorKind::OutcomeUnknown,
        _ if code == "damaged" => ErrorKind::Damaged,
        _ => ErrorKind::Internal,
    }
}

fn unexpected(what: &str) -> Error {
    Error::internal(format!("the server answered with {what}"))
}
