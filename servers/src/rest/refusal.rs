//! Answers that no route gives: to a request that cannot be parsed, or that takes too long.

use bytes::Bytes;
use delta_core::{Error, ErrorKind};
use http::{StatusCode, header};
use poem::{IntoResponse, Response};

use crate::rest::problem::Problem;

/// The request could be read in two ways; it is the last of its connection.
pub(crate) fn ambiguous() -> Response {
    let detail = "a request has one Host, and no Transfer-Encoding but chunked, once; check how it is framed";
    let problem = Problem::http(StatusCode::BAD_REQUEST, "The request is not valid", "bad_request", detail);
    problem.into_response().with_header(header::CONNECTION, "close").into_response()
}

/// The body did not come in time.
pub(crate) fn slow_body() -> Response {
    let detail = "the body came too slowly (body_deadline, request_deadline); nothing was done, send it again";
    Problem::http(StatusCode::REQUEST_TIMEOUT, "The request took too long", "request_timeout", detail).into_response()
}

/// The request came, but its answer was not ready in time.
pub(crate) fn overdue(is_read: bool) -> Response {
    let error = match is_read {
        true => Error::new(ErrorKind::Unavailable, "this took longer than request_deadline allows; try again"),
        false => Error::new(
            ErrorKind::OutcomeUnknown,
            "this took longer than request_deadline allows and may still happen; read before you try again",
        ),
    };
    Problem::from(error).into_response()
}

/// The answer to a request that could not be parsed, as it goes over the wire; `theirs` is the one it replaces, of which
/// the status is kept.
pub(crate) fn malformed(theirs: &[u8]) -> Bytes {
    let status = theirs.get(b"HTTP/1.1 ".len()..).and_then(|rest| rest.get(..3));
    let status = status.and_then(|digits| StatusCode::from_bytes(digits).ok()).unwrap_or(StatusCode::BAD_REQUEST);
    let (title, code, detail) = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (
            "The header is too large",
            "header_too_large",
            "the request's header has too many fields or bytes (header_bytes_max); send fewer",
        ),
        StatusCode::URI_TOO_LONG => ("The address is too long", "uri_too_long", "the request's address is too long"),
        _ => ("The request is not valid", "bad_request", "this is not a request of HTTP/1.1; check how it is framed"),
    };
    let body = Problem::http(status, title, code, detail).into_json();
    let reason = status.canonical_reason().unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: \
         close\r\ndate: {}\r\n\r\n",
        status.as_str(),
        body.len(),
        httpdate::fmt_http_date(std::time::SystemTime::now()),
    );
    Bytes::from(head + &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_the_status_and_says_what_is_wrong() {
        for (theirs, status, code) in [
            ("HTTP/1.1 400 Bad Request\r\n", "400 Bad Request", "bad_request"),
            ("HTTP/1.1 414 URI Too Long\r\n", "414 URI Too Long", "uri_too_long"),
            ("HTTP/1.1 431 X\r\n", "431 Request Header Fields Too Large", "header_too_large"),
            ("", "400 Bad Request", "bad_request"),
        ] {
            let ours = String::from_utf8(malformed(theirs.as_bytes()).to_vec()).unwrap();
            let (head, body) = ours.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
            assert!(head.contains(&format!("content-length: {}\r\nconnection: close\r\n", body.len())), "{head}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["error"], code);
        }
    }
}
