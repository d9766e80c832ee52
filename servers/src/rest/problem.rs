//! Errors as clients see them: `application/problem+json` (RFC 9457) with a stable code.

use std::collections::BTreeMap;

use delta_core::{Error, ErrorKind};
use http::{HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::Object;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::{ToJSON, Type};

use crate::error::http_status;
use crate::trace;

/// What went wrong with a request.
#[derive(Debug, Object)]
#[oai(rename = "Problem", skip_serializing_if_is_none)]
pub(crate) struct ProblemBody {
    /// The kind of problem, as a URI reference.
    #[oai(rename = "type")]
    kind: String,
    /// The kind of problem in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What went wrong this time, and what to do.
    detail: String,
    /// This occurrence; the server's log of a 5xx has it too.
    instance: String,
    /// The stable code to match on.
    error: String,
    /// Every place where a document breaks its schema.
    violations: Option<Vec<ViolationBody>>,
    /// Of a map of which only a part was written: the version of each document that was, by key.
    versions: Option<BTreeMap<String, u64>>,
    /// Of a map of which only a part was written: the code of what went wrong with each other, by key.
    results: Option<BTreeMap<String, String>>,
}

/// One place where a document breaks its schema.
#[derive(Debug, Object)]
#[oai(rename = "Violation")]
pub(crate) struct ViolationBody {
    /// Where in the request's document, as a JSON Pointer.
    pointer: String,
    /// Which part of the schema, as a JSON Pointer.
    schema_pointer: String,
    /// The keyword that does not hold.
    keyword: String,
    /// One line for a person.
    message: String,
}

/// What became of a map that was written in part: versions, and codes of what went wrong.
type Part = (BTreeMap<String, u64>, BTreeMap<String, String>);

/// An error on its way to a client.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    title: &'static str,
    /// Where it is not the error's own.
    code: Option<&'static str>,
    error: Error,
    /// What the path takes instead, where it does not take the method.
    allow: Option<HeaderValue>,
    /// Where a map was written in part.
    part: Option<Box<Part>>,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, title) = http_status(error.kind());
        Self { status, title, code: None, error, allow: None, part: None }
    }
}

impl Problem {
    /// A problem of HTTP alone, which no kind of error stands for.
    pub(crate) fn http(status: StatusCode, title: &'static str, code: &'static str, detail: &str) -> Self {
        Self { status, title, code: Some(code), error: Error::new(ErrorKind::Invalid, detail), allow: None, part: None }
    }

    /// The same, saying which documents of a map were written and what went wrong with the others.
    pub(crate) fn partly(self, versions: BTreeMap<String, u64>, results: BTreeMap<String, String>) -> Self {
        Self { part: Some(Box::new((versions, results))), ..self }
    }

    /// A path that does not take the method, but those of `allow`.
    pub(crate) fn method_not_allowed(allow: Option<&HeaderValue>) -> Self {
        let detail = "this path does not take this method; see /docs";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let problem = Self::http(status, "The method is not allowed", "method_not_allowed", detail);
        Self { allow: allow.cloned(), ..problem }
    }

    /// What poem itself refuses, in our words; `allow` are the methods of the path.
    pub(crate) fn from_poem(error: &poem::Error, allow: Option<&HeaderValue>) -> Self {
        let detail = error.to_string();
        match error.status() {
            StatusCode::NOT_FOUND => Error::not_found("there is nothing at this path; see /docs").into(),
            StatusCode::METHOD_NOT_ALLOWED => Self::method_not_allowed(allow),
            StatusCode::UNAUTHORIZED => missing_credential().into(),
            status if status.is_server_error() => Error::internal(detail).into(),
            _ => Error::invalid("invalid_parameter", detail).into(),
        }
    }

    /// The body; a server's own fault is logged.
    fn body(&self) -> ProblemBody {
        let mut id = [0; 8];
        drop(delta_core::keys::fill_random(&mut id));
        let id = data_encoding::HEXLOWER.encode(&id);
        let inside = matches!(self.error.kind(), ErrorKind::Damaged | ErrorKind::Internal);
        if self.status.is_server_error() {
            tracing::error!(request = %id, trace_id = trace::late(), error = ?self.error, "a request failed");
        }
        let detail = match inside {
            true => "the server could not do this; its log has more under this instance".to_owned(),
            false => self.error.to_string(),
        };
        let violations: Vec<_> = self.error.violations().iter().cloned().map(ViolationBody::from).collect();
        let (versions, results) = self.part.as_deref().cloned().unzip();
        ProblemBody {
            kind: "about:blank".into(),
            title: self.title.into(),
            status: self.status.as_u16(),
            detail,
            instance: format!("urn:deltadb:request:{id}"),
            error: self.code.unwrap_or_else(|| self.error.code()).into(),
            violations: (!violations.is_empty()).then_some(violations),
            versions,
            results,
        }
    }

    /// The body as JSON.
    pub(crate) fn into_json(self) -> String {
        self.body().to_json_string()
    }

    /// The response.
    fn response(self) -> Response {
        let body = self.body().to_json_string();
        let mut response = Response::builder().status(self.status).content_type("application/problem+json").body(body);
        // What the request is counted as.
        response.set_data(self.error.kind());
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, allow);
        }
        if matches!(self.error.kind(), ErrorKind::Unavailable | ErrorKind::Throttled) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A request without a credential.
pub(crate) fn missing_credential() -> Error {
    delta_core::auth::unauthorized("this needs a credential: send Authorization: Bearer KEY")
}

impl From<delta_core::error::Violation> for ViolationBody {
    fn from(violation: delta_core::error::Violation) -> Self {
        Self {
            pointer: violation.pointer,
            schema_pointer: violation.schema_pointer,
            keyword: violation.keyword,
            message: violation.message,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.response()
    }
}

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        Self::from_response(problem.response())
    }
}

/// Every status that a route of ours may refuse with, and the server before a route is found.
const STATUSES: [(u16, &str); 14] = [
    (400, "The request is not valid, or the document does not match its schema."),
    (401, "A valid credential is needed."),
    (403, "The credential does not allow this."),
    (404, "There is nothing here."),
    (408, "The request took longer than it may."),
    (409, "Somebody else changed this at the same time."),
    (412, "The stated condition does not hold."),
    (413, "A limit was passed."),
    (414, "The address is longer than it may be."),
    (415, "The body has a type that is not read here."),
    (429, "Too many wrong credentials came from this address."),
    (431, "The headers are larger than they may be."),
    (500, "The server failed; its log has more under the instance."),
    (503, "This cannot be done now, or whether a write happened is not known: `error` says which."),
];

impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        let response = |(status, description)| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: "application/problem+json",
                schema: ProblemBody::schema_ref(),
            }],
            headers: vec![],
        };
        MetaResponses { responses: STATUSES.into_iter().map(response).collect() }
    }

    fn register(registry: &mut Registry) {
        ProblemBody::register(registry);
    }
}
