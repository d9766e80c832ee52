//! Bodies: read late, after the caller was found to be allowed, and answered as the very bytes that are stored.

use std::marker::PhantomData;

use bytes::Bytes;
use delta_core::{Error, Result};
use http::{StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use poem::{Body, IntoResponse, Request, RequestBody, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::rest::app_of;
use crate::rest::problem::Problem;

/// What a JSON body is, for the document.
pub(crate) trait Describe {
    fn schema() -> MetaSchemaRef;
    fn register(_registry: &mut Registry) {}
}

/// Any JSON value.
pub(crate) struct AnyJson;

impl Describe for AnyJson {
    fn schema() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::ANY))
    }
}

/// An object of documents by key.
pub(crate) struct Documents;

impl Describe for Documents {
    fn schema() -> MetaSchemaRef {
        let any = MetaSchemaRef::Inline(Box::new(MetaSchema::ANY));
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            additional_properties: Some(Box::new(any)),
            min_properties: Some(1),
            ..MetaSchema::new("object")
        }))
    }
}

impl<T: Type> Describe for T {
    fn schema() -> MetaSchemaRef {
        T::schema_ref()
    }
    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// A JSON body that has not been read yet.
pub(crate) struct JsonBody<T> {
    body: Body,
    length: Option<u64>,
    content_type: Option<String>,
    bytes_max: usize,
    described: PhantomData<fn() -> T>,
}

impl<T> JsonBody<T> {
    /// Reads the body: too large is judged first, then its type.
    pub(crate) async fn read(self) -> std::result::Result<Bytes, Problem> {
        self.read_as(check_type).await.map(|((), bytes)| bytes)
    }

    /// Reads the body after `check` took its type.
    pub(crate) async fn read_as<K>(
        self,
        check: impl FnOnce(Option<&str>) -> std::result::Result<K, Problem>,
    ) -> std::result::Result<(K, Bytes), Problem> {
        if self.length.is_some_and(|length| length > self.bytes_max as u64) {
            return Err(too_large(self.bytes_max).into());
        }
        let kind = check(self.content_type.as_deref())?;
        let body: BoxBody<Bytes, std::io::Error> = self.body.into();
        match Limited::new(body, self.bytes_max).collect().await {
            Ok(collected) => Ok((kind, collected.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large(self.bytes_max).into()),
            Err(_) => Err(Error::invalid("bad_body", "the body ended early; send it again").into()),
        }
    }

    /// Reads the body as an object of ours; fields that it does not have are refused.
    pub(crate) async fn parse(self) -> std::result::Result<T, Problem>
    where
        T: DeserializeOwned,
    {
        self.parse_as().await
    }

    /// Reads the body as what stands for `T` before it is checked.
    pub(crate) async fn parse_as<U: DeserializeOwned>(self) -> std::result::Result<U, Problem> {
        let bytes = self.read().await?;
        // The value may be a secret: the error says where, not what.
        let wrong = |line: usize, column: usize| {
            let place = format!("line {line}, column {column}");
            Error::invalid(
                "bad_json",
                format!("the body is not the JSON object that is expected here ({place}); see /docs"),
            )
        };
        // An array of the fields' values would do for serde.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(wrong(1, 1).into());
        }
        let parsed = serde_json::from_slice(&bytes).map_err(|error| wrong(error.line(), error.column()));
        Ok(parsed?)
    }
}

fn too_large(bytes_max: usize) -> Error {
    Error::too_large(format!(
        "the body is larger than {bytes_max} bytes (rest_max_body_size); send several smaller ones"
    ))
}

/// JSON, or what clients send when they were not told: nothing, curl's default, plain text.
fn check_type(content_type: Option<&str>) -> std::result::Result<(), Problem> {
    let essence = essence(content_type);
    let json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if json || ["", "text/plain", "application/x-www-form-urlencoded"].contains(&essence.as_str()) {
        return Ok(());
    }
    Err(unsupported(&format!("a body of type {essence:?} is not read here; send application/json")))
}

/// A media type without its parameters.
pub(crate) fn essence(content_type: Option<&str>) -> String {
    content_type.map_or("", |text| text.split(';').next().unwrap_or_default()).trim().to_ascii_lowercase()
}

/// A body of a type that is not read.
pub(crate) fn unsupported(detail: &str) -> Problem {
    Problem::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The type is not supported", "unsupported_media_type", detail)
}

impl<'a, T: Describe> ApiExtractor<'a> for JsonBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: "application/json", schema: T::schema() }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        Ok(Self {
            body: body.take()?,
            length: text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            content_type: text(header::CONTENT_TYPE).map(str::to_owned),
            bytes_max: app_of(request)?.body_bytes_max,
            described: PhantomData,
        })
    }
}

/// JSON as bytes that are ready, a stored document for example; the document describes them as a `T`.
pub(crate) struct RawJson<T = AnyJson>(Bytes, PhantomData<fn() -> T>);

impl<T> RawJson<T> {
    /// Bytes that are JSON.
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(bytes, PhantomData)
    }
}

impl<T: Describe> Payload for RawJson<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Describe> IntoResponse for RawJson<T> {
    fn into_response(self) -> Response {
        let mut response = Response::from(self.0);
        response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(Self::CONTENT_TYPE));
        response
    }
}

/// Reads a member that may be left out, and is no `null`.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A path or query parameter as a name of ours.
pub(crate) fn name<T: std::str::FromStr<Err = Error>>(text: &str) -> Result<T> {
    text.parse()
}
