//! Pages of other origins: none may read an answer here, but those that the operator names (Fetch standard, CORS).

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderValue, Method, StatusCode};
use poem::{Request, Response};
use serde::{Deserialize, Serialize};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, PUT, PATCH, POST, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, if-match, if-none-match");
const EXPOSED: HeaderValue = HeaderValue::from_static("etag, last-modified, link, retry-after");
/// How long a browser may remember what it was told, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The origins whose pages may use the API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Origins(Vec<String>);

impl TryFrom<String> for Origins {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let given = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        given.map(|origin| is_origin(origin).map(|()| origin.to_owned())).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Origins> for String {
    fn from(origins: Origins) -> Self {
        origins.0.join(",")
    }
}

fn is_origin(text: &str) -> Result<(), String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]".contains(&byte);
    match host {
        Some(host) if !host.is_empty() && host.bytes().all(plain) => Ok(()),
        _ => Err(format!("{text:?} is no origin; write one like https://app.example:8443, without a path")),
    }
}

impl Origins {
    /// The origin of a request's page, if its pages may read the answer.
    pub(crate) fn allowed(&self, request: &Request) -> Option<HeaderValue> {
        let origin = request.headers().get(ORIGIN)?;
        self.0.iter().any(|allowed| origin == allowed.as_str()).then(|| origin.clone())
    }

    /// The answer to a browser that asks before it sends a page's request, yet to be marked.
    pub(crate) fn preflight(request: &Request) -> Option<Response> {
        let asks = request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        asks.then(|| {
            Response::builder()
                .status(StatusCode::NO_CONTENT)
                .header(ACCESS_CONTROL_ALLOW_METHODS, METHODS)
                .header(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS)
                .header(ACCESS_CONTROL_MAX_AGE, MAX_AGE)
                .finish()
        })
    }

    /// An answer that pages of this origin may read.
    pub(crate) fn mark(mut response: Response, origin: &HeaderValue) -> Response {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        headers.append(VARY, HeaderValue::from_static("Origin"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_origins_are_taken() {
        let parse = |text: &str| Origins::try_from(text.to_owned());
        assert_eq!(parse("https://a.example, http://[::1]:3000").unwrap().0.len(), 2);
        assert_eq!(parse("").unwrap(), Origins::default());
        for bad in ["*", "a.example", "https://a.example/", "https://a.example/x", "https://", "ftp://a", "null"] {
            assert!(parse(bad).unwrap_err().contains("origin"), "{bad}");
        }
    }
}
