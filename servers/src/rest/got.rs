//! What a read answers. It is put together by hand, since nothing is asked for so often: what is derived from its
//! description would look up the name of each header, and copy its value.

use std::time::{Duration, UNIX_EPOCH};

use delta_core::clock::Timestamp;
use delta_core::entities::Entity;
use delta_core::{Error, Result};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaResponses, Registry};

use crate::rest::body::{AnyJson, RawJson};
use crate::rest::conditions;
use crate::rest::conditions::Read;

/// A document: what [`Got`] is in the OpenAPI document.
#[derive(ApiResponse)]
#[expect(dead_code, reason = "it describes what is put together by hand")]
enum GetResponse {
    /// The document, byte for byte as it was written.
    #[oai(status = 200)]
    Document(
        RawJson,
        /// The version.
        #[oai(header = "ETag")]
        String,
        /// When this version was written.
        #[oai(header = "Last-Modified")]
        String,
        /// `no-cache`: whoever keeps the document asks before using it again.
        #[oai(header = "Cache-Control")]
        String,
    ),
    /// The caller has this version.
    #[oai(status = 304)]
    NotModified(
        /// The version.
        #[oai(header = "ETag")]
        String,
    ),
}

/// An answer to a read.
pub(crate) struct Got(Response);

impl Got {
    /// An entity as the caller's headers want it, whole or a part.
    pub(crate) fn new(entity: Entity, pointer: Option<&str>, headers: &HeaderMap) -> Result<Self> {
        if conditions::read(headers, entity.etag)? == Read::NotModified {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            response.headers_mut().insert(header::ETAG, value(entity.etag.to_text())?);
            return Ok(Self(response));
        }
        let part = match pointer {
            None => entity.document,
            Some(pointer) => entity.document.at(&pointer.parse()?)?.ok_or_else(|| {
                let message = "the document has nothing at this pointer; read it without the pointer";
                Error::not_found(message).with_code("pointer_not_found")
            })?,
        };
        let mut response = RawJson::<AnyJson>::new(part.bytes().clone()).into_response();
        let answered = response.headers_mut();
        answered.insert(header::ETAG, value(entity.etag.to_text())?);
        answered.insert(header::LAST_MODIFIED, value(last_modified(entity.updated))?);
        answered.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Ok(Self(response))
    }
}

impl IntoResponse for Got {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for Got {
    fn meta() -> MetaResponses {
        GetResponse::meta()
    }

    fn register(registry: &mut Registry) {
        GetResponse::register(registry);
    }
}

fn value(text: String) -> Result<HeaderValue> {
    HeaderValue::try_from(text).map_err(|_| Error::internal("a header's value has signs that none may have"))
}

fn last_modified(updated: Timestamp) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(updated.seconds()))
}
