//! The one table from what went wrong to the statuses of HTTP and gRPC.

use delta_core::ErrorKind;
use http::StatusCode;
use tonic::Code;

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

/// The status of a kind of error in gRPC: one kind a code, but for the two faults of the server.
///
/// A client may repeat what is `UNAVAILABLE` or `RESOURCE_EXHAUSTED`, and many do so unasked: an outcome that is not known
/// is neither, and neither is a request that will never fit.
pub(crate) fn grpc_code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::Unauthorized => Code::Unauthenticated,
        ErrorKind::Forbidden => Code::PermissionDenied,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Conflict => Code::Aborted,
        ErrorKind::PreconditionFailed => Code::FailedPrecondition,
        ErrorKind::TooLarge => Code::OutOfRange,
        ErrorKind::Throttled => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::OutcomeUnknown => Code::Unknown,
        ErrorKind::Damaged | ErrorKind::Internal => Code::Internal,
    }
}

/// A fresh id of a request, under which the server's log tells what its client is not told.
pub(crate) fn request_id() -> String {
    let mut id = [0; 8];
    drop(delta_core::keys::fill_random(&mut id));
    data_encoding::HEXLOWER.encode(&id)
}
