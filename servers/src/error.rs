//! The one table from what went wrong to HTTP statuses.

use delta_core::ErrorKind;
use http::StatusCode;

/// The HTTP status of a kind of error, and the title that goes with it (RFC 9457, RFC 9110 section 15).
pub(crate) fn http_status(kind: ErrorKind) -> (StatusCode, &'static str) {
    match kind {
        ErrorKind::Invalid => (StatusCode::BAD_REQUEST, "The request is not valid"),
        ErrorKind::Unauthorized => (StatusCode::UNAUTHORIZED, "A valid credential is needed"),
        ErrorKind::Forbidden => (StatusCode::FORBIDDEN, "The credential does not allow this"),
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "There is nothing here"),
        ErrorKind::Conflict => (StatusCode::CONFLICT, "Somebody else changed this"),
        ErrorKind::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "The stated condition does not hold"),
        ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "A limit was passed"),
        ErrorKind::Throttled => (StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "This cannot be done now"),
        ErrorKind::OutcomeUnknown => (StatusCode::SERVICE_UNAVAILABLE, "The write may or may not have happened"),
        ErrorKind::Damaged | ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "The server failed"),
    }
}
