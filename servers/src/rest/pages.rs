//! Pages for people: a landing page, and the API's documentation. Nothing on them is loaded from elsewhere.

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use poem::{IntoResponse, Request, Response};

use crate::rest::problem::Problem;

/// Pages of ours: no script at all.
const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Swagger UI carries its script and style inline, and calls this server.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The methods of every page.
const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// The pages.
pub(crate) struct Pages {
    docs: Bytes,
    document: Bytes,
}

impl Pages {
    /// The pages, with the documentation's page and the OpenAPI document.
    pub(crate) fn new(docs: String, document: String) -> Self {
        Self { docs: docs.into(), document: document.into() }
    }

    /// The page at a request's path, if there is one.
    pub(crate) fn find(&self, request: &Request) -> Option<Response> {
        let landing = || page(include_str!("landing.html").into(), PAGE_POLICY);
        let found: &dyn Fn() -> Response = match request.uri().path() {
            "/" => &landing,
            "/docs" => &|| page(self.docs.clone(), DOCS_POLICY),
            "/openapi.json" => &|| Response::builder().content_type("application/json").body(self.document.clone()),
            _ => return None,
        };
        match *request.method() {
            Method::GET | Method::HEAD => Some(found()),
            _ => Some(Problem::method_not_allowed(Some(&ALLOWED)).into_response()),
        }
    }
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
