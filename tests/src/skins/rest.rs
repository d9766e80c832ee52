//! `Entities` through REST.

use std::net::SocketAddr;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use delta_core::auth::Principal;
use delta_core::clock::Timestamp;
use delta_core::document::{DEPTH_MAX_CEILING, Document, parse_members};
use delta_core::entities::{
    ETag, Entities, Entity, KeyMeta, ListQuery, ListedKey, Page, Precondition, PutOptions, Written,
};
use delta_core::error::Violation;
use delta_core::name::{DatabaseName, EntityId, EntityKey, SchemaId};
use delta_core::patch::{JSON_PATCH, MERGE_PATCH, Patch};
use delta_core::{Error, ErrorKind, Result};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::skins::credentials::Credentials;

/// A client of one server.
#[derive(Debug)]
pub struct RestEntities {
    http: Client,
    address: SocketAddr,
    credentials: Credentials,
}

impl RestEntities {
    /// A client of the server that listens here.
    pub fn new(address: SocketAddr) -> Self {
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Self { http, address, credentials: Credentials::new(address) }
    }

    fn ask(&self, who: &Principal, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        request.bearer_auth(self.credentials.of(who))
    }
}

#[async_trait]
impl Entities for RestEntities {
    async fn get(&self, who: &Principal, id: &EntityId) -> Result<Entity> {
        entity(answer(self.ask(who, Method::GET, &path(id))).await?).await
    }

    async fn put(&self, who: &Principal, id: &EntityId, document: Document, options: &PutOptions) -> Result<Written> {
        let target = naming(&path(id), options.schema.as_ref());
        let request = conditional(self.ask(who, Method::PUT, &target), &options.precondition);
        written(answer(request.body(document.bytes().clone())).await?).await
    }

    async fn put_many(
        &self,
        who: &Principal,
        database: &DatabaseName,
        documents: Vec<(EntityKey, Document)>,
        schema: Option<&SchemaId>,
    ) -> Result<Vec<Result<Written>>> {
        let mut body = b"{".to_vec();
        for (key, document) in &documents {
            body.extend_from_slice(if body.len() > 1 { b"," } else { b"" });
            body.extend_from_slice(format!("{}:", Value::from(key.as_str())).as_bytes());
            body.extend_from_slice(document.bytes());
        }
        body.push(b'}');
        let target = naming(&format!("/entity/{database}"), schema);
        let done = json_of(answer(self.ask(who, Method::PUT, &target).body(body)).await?).await?;
        let mut results = Vec::with_capacity(documents.len());
        for (key, _) in documents {
            let etag: ETag = text(member(member(&done, "etags"), key.as_str()))?.parse()?;
            // The answer tells neither: every life of an entity counts from 1, and its headers have the time.
            let head = self.ask(who, Method::HEAD, &path(&EntityId::new(database.clone(), key)));
            let updated = modified(&answer(head).await?)?;
            results.push(Ok(Written { etag, updated, created: etag.version() == 1 }));
        }
        Ok(results)
    }

    async fn patch(&self, who: &Principal, id: &EntityId, patch: &Patch, options: &PutOptions) -> Result<Written> {
        let (kind, document) = match patch {
            Patch::Merge(document) => (MERGE_PATCH, document),
            Patch::Operations(document) => (JSON_PATCH, document),
        };
        let target = naming(&path(id), options.schema.as_ref());
        let request = conditional(self.ask(who, Method::PATCH, &target), &options.precondition);
        written(answer(request.header("Content-Type", kind).body(document.bytes().clone())).await?).await
    }

    async fn delete(&self, who: &Principal, id: &EntityId, precondition: &Precondition) -> Result<bool> {
        let request = conditional(self.ask(who, Method::DELETE, &path(id)), precondition);
        let done = json_of(answer(request).await?).await?;
        member(&done, "existed").as_bool().ok_or_else(|| unexpected("no word on what was there"))
    }

    async fn get_many(
        &self,
        who: &Principal,
        database: &DatabaseName,
        keys: &[EntityKey],
    ) -> Result<Vec<Option<Entity>>> {
        let asked: Vec<_> = keys.iter().map(EntityKey::as_str).collect();
        let request = self.ask(who, Method::POST, &format!("/api/databases/{database}/batch-get"));
        let found = answer(request.body(json!({"keys": asked}).to_string())).await?;
        let body = found.bytes().await.map_err(lost)?;
        items(&body)?.into_iter().zip(keys).map(|(item, key)| batch_item(item.bytes(), key)).collect()
    }

    async fn list(&self, who: &Principal, database: &DatabaseName, query: &ListQuery) -> Result<Page> {
        let (limit, metadata) = (query.limit.to_string(), query.metadata.to_string());
        let mut parameters = vec![("prefix", query.prefix.as_str()), ("limit", &limit), ("metadata", &metadata)];
        parameters.extend(query.cursor.as_ref().map(|cursor| ("cursor", cursor.as_str())));
        let parameters = parameters.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
        let target = format!("/api/databases/{database}/keys?{}", parameters.collect::<Vec<_>>().join("&"));
        let page = json_of(answer(self.ask(who, Method::GET, &target)).await?).await?;
        let items = member(&page, "items").as_array().into_iter().flatten().map(listed).collect::<Result<_>>()?;
        Ok(Page { items, next: member(&page, "next_cursor").as_str().map(str::parse).transpose()? })
    }

    async fn databases(&self, who: &Principal) -> Result<Vec<DatabaseName>> {
        let found = json_of(answer(self.ask(who, Method::GET, "/api/databases")).await?).await?;
        found.as_array().into_iter().flatten().map(|name| text(name)?.parse()).collect()
    }
}

fn escaped(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

fn path(id: &EntityId) -> String {
    format!("/entity/{}/{}", id.database, escaped(id.key.as_str()))
}

/// A target with the schema that a request names.
fn naming(target: &str, schema: Option<&SchemaId>) -> String {
    schema.map_or_else(|| target.to_owned(), |schema| format!("{target}?schema_id={schema}"))
}

fn conditional(request: RequestBuilder, precondition: &Precondition) -> RequestBuilder {
    let list = |tags: &[ETag]| tags.iter().map(ETag::to_text).collect::<Vec<_>>().join(", ");
    match precondition {
        Precondition::None => request,
        Precondition::Absent => request.header("If-None-Match", "*"),
        Precondition::Exists => request.header("If-Match", "*"),
        Precondition::Matches(tags) => request.header("If-Match", list(tags)),
        Precondition::NoneOf(tags) => request.header("If-None-Match", list(tags)),
    }
}

/// A success, or the error that a problem stands for.
async fn answer(request: RequestBuilder) -> Result<Response> {
    let response = request.send().await.map_err(lost)?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let problem = json_of(response).await?;
    let code = text(member(&problem, "error"))?.to_owned();
    let violations = problem.get("violations").cloned().unwrap_or_else(|| json!([]));
    let violations: Vec<Violation> = serde_json::from_value(violations).map_err(|_| unexpected("odd violations"))?;
    Err(Error::from_wire(kind(status, &code)?, code, text(member(&problem, "detail"))?, violations))
}

/// What a problem tells the caller to do next.
fn kind(status: StatusCode, code: &str) -> Result<ErrorKind> {
    Ok(match (status.as_u16(), code) {
        (400, _) => ErrorKind::Invalid,
        (401, _) => ErrorKind::Unauthorized,
        (403, _) => ErrorKind::Forbidden,
        (404, _) => ErrorKind::NotFound,
        (409, _) => ErrorKind::Conflict,
        (412, _) => ErrorKind::PreconditionFailed,
        (413, _) => ErrorKind::TooLarge,
        (429, _) => ErrorKind::Throttled,
        (503, "outcome_unknown") => ErrorKind::OutcomeUnknown,
        (503, _) => ErrorKind::Unavailable,
        (500, "damaged") => ErrorKind::Damaged,
        (500, _) => ErrorKind::Internal,
        (status, _) => return Err(unexpected(&format!("status {status}"))),
    })
}

/// A member of an object; null where there is none.
fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

async fn json_of(response: Response) -> Result<Value> {
    let body = response.bytes().await.map_err(lost)?;
    serde_json::from_slice(&body).map_err(|_| unexpected("no JSON"))
}

fn header<'a>(response: &'a Response, name: &str) -> Result<&'a str> {
    let value = response.headers().get(name).and_then(|value| value.to_str().ok());
    value.ok_or_else(|| unexpected(&format!("no {name}")))
}

fn modified(response: &Response) -> Result<Timestamp> {
    let modified =
        httpdate::parse_http_date(header(response, "last-modified")?).map_err(|_| unexpected("an odd date"))?;
    Ok(Timestamp::default().after(modified.duration_since(UNIX_EPOCH).unwrap_or_default()))
}

async fn entity(found: Response) -> Result<Entity> {
    let (etag, updated) = (header(&found, "etag")?.parse()?, modified(&found)?);
    let body = found.bytes().await.map_err(lost)?;
    Ok(Entity { document: Document::parse(&body, DEPTH_MAX_CEILING)?, etag, updated })
}

async fn written(done: Response) -> Result<Written> {
    let created = done.status() == StatusCode::CREATED;
    let etag: ETag = header(&done, "etag")?.parse()?;
    let body = json_of(done).await?;
    if member(&body, "version").as_u64() != Some(etag.version()) {
        return Err(unexpected("a version that is not the tag's"));
    }
    Ok(Written { etag, updated: time_of(member(&body, "updated_at"))?, created })
}

/// The members of the only array of an object, each in its own bytes.
fn items(body: &[u8]) -> Result<Vec<Document>> {
    let members = parse_members(body, DEPTH_MAX_CEILING)?;
    let [(name, array)] = members.as_slice() else { return Err(unexpected("other members than items")) };
    let count = serde_json::from_slice::<Vec<serde::de::IgnoredAny>>(array.bytes());
    let count = count.map_err(|_| unexpected("no array"))?.len();
    if name != "items" {
        return Err(unexpected("no items"));
    }
    let item = |at: usize| array.at(&format!("/{at}").parse()?)?.ok_or_else(|| unexpected("an item less"));
    (0..count).map(item).collect()
}

fn batch_item(item: &[u8], key: &EntityKey) -> Result<Option<Entity>> {
    let members = parse_members(item, DEPTH_MAX_CEILING)?;
    let member = |name: &str| members.iter().find(|(given, _)| given == name).map(|(_, value)| value);
    let value = |name: &str| {
        let value = member(name).ok_or_else(|| unexpected(&format!("no {name}")))?.bytes();
        serde_json::from_slice::<Value>(value).map_err(|_| unexpected("no JSON"))
    };
    if text(&value("key")?)? != key.as_str() {
        return Err(unexpected("another key than was asked for"));
    }
    if value("found")? != json!(true) {
        return Ok(None);
    }
    let document = member("document").cloned().ok_or_else(|| unexpected("no document"))?;
    Ok(Some(Entity { document, etag: text(&value("etag")?)?.parse()?, updated: time_of(&value("updated_at")?)? }))
}

fn listed(item: &Value) -> Result<ListedKey> {
    let meta = |etag: &str| {
        let schema = member(item, "schema_id").as_str().map(str::parse).transpose()?;
        Ok(KeyMeta { etag: etag.parse()?, updated: time_of(member(item, "updated_at"))?, schema })
    };
    let meta: Option<Result<KeyMeta>> = member(item, "etag").as_str().map(meta);
    let size_bytes = member(item, "size").as_u64().ok_or_else(|| unexpected("no size"))?;
    Ok(ListedKey { key: text(member(item, "key"))?.parse()?, size_bytes, meta: meta.transpose()? })
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| unexpected("no text where one belongs"))
}

fn time_of(value: &Value) -> Result<Timestamp> {
    let parsed = time::OffsetDateTime::parse(text(value)?, &time::format_description::well_known::Rfc3339);
    let nanos = parsed.map_err(|_| unexpected("an odd time"))?.unix_timestamp_nanos();
    Ok(Timestamp(u64::try_from(nanos / 1000).unwrap_or_default()))
}

/// No answer came: whether a write happened is not known.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` takes it")]
fn lost(error: reqwest::Error) -> Error {
    Error::outcome_unknown(format!("no answer: {error}"))
}

fn unexpected(what: &str) -> Error {
    Error::internal(format!("the server answered with {what}"))
}
