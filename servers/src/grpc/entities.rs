//! `delta.v1.Entities`.

use async_trait::async_trait;
use delta_core::auth::Permission;
use delta_core::clock::Timestamp;
use delta_core::document::Document;
use delta_core::entities::{self, ETag, ListQuery, PAGE_KEYS_MAX, PutOptions};
use delta_core::name::{DatabaseName, EntityId, EntityKey};
use delta_core::patch::{OPERATIONS_DEPTH, Patch};
use delta_core::pointer::Pointer;
use delta_core::{Error, Result};
use tonic::{Request, Response, Status};

use crate::grpc::api::delta::v1 as wire;
use crate::grpc::api::delta::v1::entities_server::Entities;
use crate::grpc::api::delta::v1::patch_entity_request::Patch as PatchKind;
use crate::grpc::api::delta::v1::precondition::Condition;
use crate::grpc::api::delta::v1::put_entities_response::{Result as PutResult, result::Outcome};
use crate::grpc::api::delta::v1::{batch_get_response, put_entities_request};
use crate::grpc::status::failure;
use crate::grpc::{Skin, answer, caller, optional};

type Answer<T> = std::result::Result<Response<T>, Status>;

#[async_trait]
impl Entities for Skin {
    async fn get(&self, request: Request<wire::GetEntityRequest>) -> Answer<wire::Entity> {
        answer(self.get_entity(request).await)
    }

    async fn put(&self, request: Request<wire::PutEntityRequest>) -> Answer<wire::Written> {
        answer(self.put_entity(request).await)
    }

    async fn put_many(&self, request: Request<wire::PutEntitiesRequest>) -> Answer<wire::PutEntitiesResponse> {
        answer(self.put_entities(request).await)
    }

    async fn patch(&self, request: Request<wire::PatchEntityRequest>) -> Answer<wire::Written> {
        answer(self.patch_entity(request).await)
    }

    async fn delete(&self, request: Request<wire::DeleteEntityRequest>) -> Answer<wire::DeleteEntityResponse> {
        answer(self.delete_entity(request).await)
    }

    async fn list(&self, request: Request<wire::ListKeysRequest>) -> Answer<wire::ListKeysResponse> {
        answer(self.list_keys(request).await)
    }

    async fn batch_get(&self, request: Request<wire::BatchGetRequest>) -> Answer<wire::BatchGetResponse> {
        answer(self.batch_get_entities(request).await)
    }
}

impl Skin {
    async fn get_entity(&self, request: Request<wire::GetEntityRequest>) -> Result<wire::Entity> {
        let (who, asked) = caller(request)?;
        let id = entity_id(&asked.database, &asked.key)?;
        let (known, pointer) = (tags(&asked.if_none_match)?, optional::<Pointer>(&asked.pointer)?);
        let found = self.0.entities.get(&who, &id).await?;
        if known.contains(&found.etag) {
            let version = Some(version(found.etag, found.updated));
            return Ok(wire::Entity { version, not_modified: true, ..wire::Entity::default() });
        }
        let Some(pointer) = pointer else { return Ok(entity(&found)) };
        let nothing = || {
            let message = "the document has nothing at this pointer; read it without the pointer";
            Error::not_found(message).with_code("pointer_not_found")
        };
        let document = found.document.at(&pointer)?.ok_or_else(nothing)?;
        Ok(entity(&entities::Entity { document, ..found }))
    }

    async fn put_entity(&self, request: Request<wire::PutEntityRequest>) -> Result<wire::Written> {
        let (who, asked) = caller(request)?;
        let id = entity_id(&asked.database, &asked.key)?;
        // Who may not write is told so before the document is looked at.
        who.require(Permission::Write, &id.database)?;
        let options = options(&asked.schema_id, asked.precondition)?;
        let document = self.document(&asked.document)?;
        Ok(written(&self.0.entities.put(&who, &id, document, &options).await?))
    }

    async fn put_entities(&self, request: Request<wire::PutEntitiesRequest>) -> Result<wire::PutEntitiesResponse> {
        let (who, asked) = caller(request)?;
        let database: DatabaseName = asked.database.parse()?;
        who.require(Permission::Write, &database)?;
        let schema = optional(&asked.schema_id)?;
        let parse = |item: put_entities_request::Item| {
            let document = self.document(&item.document);
            Ok((item.key.parse::<EntityKey>()?, document.map_err(|error| error.context(&item.key))?))
        };
        let documents = asked.entities.into_iter().map(parse).collect::<Result<Vec<_>>>()?;
        let results = self.0.entities.put_many(&who, &database, documents, schema.as_ref()).await?;
        let outcome = |result: Result<_>| match result {
            Ok(done) => Outcome::Written(written(&done)),
            Err(error) => Outcome::Failure(failure(&error)),
        };
        let results = results.into_iter().map(|result| PutResult { outcome: Some(outcome(result)) }).collect();
        Ok(wire::PutEntitiesResponse { results })
    }

    async fn patch_entity(&self, request: Request<wire::PatchEntityRequest>) -> Result<wire::Written> {
        let (who, asked) = caller(request)?;
        let id = entity_id(&asked.database, &asked.key)?;
        who.require(Permission::Write, &id.database)?;
        let options = options(&asked.schema_id, asked.precondition)?;
        let patch = match asked.patch {
            Some(PatchKind::Merge(bytes)) => Patch::Merge(self.document(&bytes)?),
            Some(PatchKind::Operations(bytes)) => {
                let depth_max = self.0.document_depth_max + OPERATIONS_DEPTH;
                Patch::Operations(Document::parse(&bytes, depth_max)?)
            }
            None => return Err(Error::invalid("bad_patch", "the request has no patch; set merge or operations")),
        };
        Ok(written(&self.0.entities.patch(&who, &id, &patch, &options).await?))
    }

    async fn delete_entity(&self, request: Request<wire::DeleteEntityRequest>) -> Result<wire::DeleteEntityResponse> {
        let (who, asked) = caller(request)?;
        let id = entity_id(&asked.database, &asked.key)?;
        let precondition = precondition(asked.precondition)?;
        let existed = self.0.entities.delete(&who, &id, &precondition).await?;
        Ok(wire::DeleteEntityResponse { existed })
    }

    async fn list_keys(&self, request: Request<wire::ListKeysRequest>) -> Result<wire::ListKeysResponse> {
        let (who, asked) = caller(request)?;
        let database: DatabaseName = asked.database.parse()?;
        let negative = |_| Error::invalid("invalid_limit", "page_size must not be negative");
        let limit = match usize::try_from(asked.page_size).map_err(negative)? {
            0 => PAGE_KEYS_MAX,
            size => size.min(PAGE_KEYS_MAX),
        };
        let cursor = optional(&asked.page_token)?;
        let query = ListQuery { prefix: asked.prefix, cursor, limit, metadata: asked.metadata };
        let page = self.0.entities.list(&who, &database, &query).await?;
        let next_page_token = page.next.map(|cursor| cursor.as_str().to_owned()).unwrap_or_default();
        Ok(wire::ListKeysResponse { keys: page.items.into_iter().map(listed).collect(), next_page_token })
    }

    async fn batch_get_entities(&self, request: Request<wire::BatchGetRequest>) -> Result<wire::BatchGetResponse> {
        let (who, asked) = caller(request)?;
        let database: DatabaseName = asked.database.parse()?;
        who.require(Permission::Read, &database)?;
        let keys = asked.keys.iter().map(|key| key.parse()).collect::<Result<Vec<EntityKey>>>()?;
        let found = self.0.entities.get_many(&who, &database, &keys).await?;
        let item = |(key, found): (String, Option<entities::Entity>)| batch_get_response::Item {
            key,
            entity: found.as_ref().map(entity),
        };
        Ok(wire::BatchGetResponse { entities: asked.keys.into_iter().zip(found).map(item).collect() })
    }

    /// A document of a request.
    pub(crate) fn document(&self, bytes: &[u8]) -> Result<Document> {
        Document::parse(bytes, self.0.document_depth_max)
    }
}

/// The entity that a request names.
pub(crate) fn entity_id(database: &str, key: &str) -> Result<EntityId> {
    Ok(EntityId::new(database.parse()?, key.parse()?))
}

fn options(schema: &str, wanted: Option<wire::Precondition>) -> Result<PutOptions> {
    Ok(PutOptions { schema: optional(schema)?, precondition: precondition(wanted)? })
}

/// A precondition that says nothing may be one that this version does not know: it must not be ignored.
fn precondition(wanted: Option<wire::Precondition>) -> Result<entities::Precondition> {
    let Some(wanted) = wanted else { return Ok(entities::Precondition::None) };
    match wanted.condition {
        Some(Condition::IfAbsent(())) => Ok(entities::Precondition::Absent),
        Some(Condition::IfExists(())) => Ok(entities::Precondition::Exists),
        Some(Condition::IfMatch(some)) if !some.etags.is_empty() => {
            Ok(entities::Precondition::Matches(tags(&some.etags)?))
        }
        Some(Condition::IfNoneMatch(some)) if !some.etags.is_empty() => {
            Ok(entities::Precondition::NoneOf(tags(&some.etags)?))
        }
        Some(Condition::IfMatch(_) | Condition::IfNoneMatch(_)) | None => {
            Err(Error::invalid("invalid_precondition", "the precondition says nothing; set it or leave it out"))
        }
    }
}

fn tags(texts: &[String]) -> Result<Vec<ETag>> {
    texts.iter().map(|text| text.parse()).collect()
}

fn version(etag: ETag, updated: Timestamp) -> wire::Version {
    let seconds = i64::try_from(updated.seconds()).unwrap_or(i64::MAX);
    let nanos = i32::try_from(updated.0 % 1_000_000 * 1_000).unwrap_or_default();
    let updated = Some(prost_types::Timestamp { seconds, nanos });
    wire::Version { number: etag.version(), etag: etag.to_text(), updated }
}

fn entity(found: &entities::Entity) -> wire::Entity {
    let version = Some(version(found.etag, found.updated));
    wire::Entity { document: found.document.bytes().clone(), version, not_modified: false }
}

fn written(done: &entities::Written) -> wire::Written {
    wire::Written { version: Some(version(done.etag, done.updated)), created: done.created }
}

fn listed(key: entities::ListedKey) -> wire::ListedKey {
    let version = key.meta.as_ref().map(|meta| version(meta.etag, meta.updated));
    let schema_id = key.meta.and_then(|meta| meta.schema).map(String::from).unwrap_or_default();
    wire::ListedKey { key: key.key.into(), size_bytes: key.size_bytes, version, schema_id }
}
