//! The page that Prometheus reads, on a port of its own: whoever may reach it may read it.

use http::{HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, Response};
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};

/// Serves the metrics of a process.
pub(crate) struct Page(Registry);

impl Page {
    /// The page of these metrics.
    pub(super) fn new(registry: Registry) -> Self {
        Self(registry)
    }

    fn answer(&self, request: &Request) -> Response {
        if request.uri().path() != "/metrics" {
            return (StatusCode::NOT_FOUND, "there is nothing here but /metrics\n").into_response();
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let refused = (StatusCode::METHOD_NOT_ALLOWED, "/metrics takes GET\n").into_response();
            return refused.with_header(header::ALLOW, "GET, HEAD").into_response();
        }
        match TextEncoder::new().encode_to_string(&self.0.gather()) {
            Ok(text) => {
                let mut page = Response::builder().body(text);
                page.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT));
                page
            }
            Err(error) => {
                tracing::error!(%error, "the metrics could not be written");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

impl Endpoint for Page {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        Ok(self.answer(&request))
    }
}
