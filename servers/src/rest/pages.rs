//! Pages for people: a landing page, and the API's documentation. Nothing on them is loaded from elsewhere.

use bytes::Bytes;
use http::header;
use poem::web::Data;
use poem::{Response, handler};

/// Pages of ours: no script at all.
const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Swagger UI carries its script and style inline, and calls this server.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The documentation page.
#[derive(Clone)]
pub(crate) struct Docs(Bytes);

impl Docs {
    pub(crate) fn new(html: String) -> Self {
        Self(html.into())
    }
}

/// The OpenAPI document.
#[derive(Clone)]
pub(crate) struct Document(Bytes);

impl Document {
    pub(crate) fn new(json: String) -> Self {
        Self(json.into())
    }
}

#[handler]
pub(crate) fn landing() -> Response {
    page(include_str!("landing.html").into(), PAGE_POLICY)
}

#[handler]
pub(crate) fn docs(docs: Data<&Docs>) -> Response {
    page(docs.0.0.clone(), DOCS_POLICY)
}

#[handler]
pub(crate) fn openapi(document: Data<&Document>) -> Response {
    Response::builder().content_type("application/json").body(document.0.0.clone())
}

fn page(html: Bytes, policy: &str) -> Response {
    Response::builder()
        .content_type("text/html; charset=utf-8")
        .header(header::CONTENT_SECURITY_POLICY, policy)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::X_FRAME_OPTIONS, "DENY")
        .header(header::REFERRER_POLICY, "no-referrer")
        .header("Cross-Origin-Opener-Policy", "same-origin")
        .body(html)
}
