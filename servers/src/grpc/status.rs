//! Errors as clients of gRPC see them: a status whose details carry the stable code.

use delta_core::{Error, ErrorKind};
use prost::Message;
use prost_types::{Any, Duration};
use tonic::{Code, Status};
use tonic_types::pb::{self, ErrorInfo, RequestInfo, RetryInfo};

use crate::error::{grpc_code, request_id};
use crate::grpc::api::delta::v1::{Failure, Violation, Violations};
use crate::trace;

/// Whose codes the reasons are.
const DOMAIN: &str = "deltadb";
/// The longest message, in bytes: clients take 8 KiB of trailers, in which a message may grow threefold.
const MESSAGE_BYTES_MAX: usize = 768;
/// The most bytes of details, which grow by a third in the trailers.
const DETAILS_BYTES_MAX: usize = 3_500;
/// When to repeat what cannot be done now, in seconds.
const RETRY_SECS: i64 = 1;

/// The status of an error. What went wrong inside the server goes to its log, and only the request's id to the client.
pub(crate) fn status(error: &Error) -> Status {
    let kind = error.kind();
    let inside = matches!(kind, ErrorKind::Damaged | ErrorKind::Internal);
    let info = ErrorInfo { reason: error.code().into(), domain: DOMAIN.into(), metadata: [].into() };
    let mut details = vec![any("google.rpc.ErrorInfo", &info)];
    if matches!(kind, ErrorKind::Unavailable | ErrorKind::Throttled) {
        let retry_delay = Some(Duration { seconds: RETRY_SECS, nanos: 0 });
        details.push(any("google.rpc.RetryInfo", &RetryInfo { retry_delay }));
    }
    if inside || matches!(kind, ErrorKind::Unavailable | ErrorKind::OutcomeUnknown) {
        let id = request_id();
        tracing::error!(request = %id, trace_id = trace::late(), ?error, "a request failed");
        let request = RequestInfo { request_id: format!("urn:deltadb:request:{id}"), serving_data: String::new() };
        details.push(any("google.rpc.RequestInfo", &request));
    }
    if !error.violations().is_empty() {
        details.push(any("delta.v1.Violations", &violations(error)));
    }
    let message = match inside {
        true => "the server could not do this; its log has more under this request's id".to_owned(),
        false => cut(error.to_string()),
    };
    let code = grpc_code(kind);
    let whole = pb::Status { code: code.into(), message: message.clone(), details };
    Status::with_details(code, message, whole.encode_to_vec().into())
}

/// The failure of one part of a request.
pub(crate) fn failure(error: &Error) -> Failure {
    let status = status(error);
    Failure { status: status.code().into(), code: error.code().into(), message: status.message().into() }
}

/// A deadline of the client's that passed.
pub(crate) fn deadline_exceeded() -> Status {
    let message = "the deadline of the call passed; a write that had started runs to its end nevertheless";
    let info = ErrorInfo { reason: "deadline_exceeded".into(), domain: DOMAIN.into(), metadata: [].into() };
    let details = vec![any("google.rpc.ErrorInfo", &info)];
    let whole = pb::Status { code: Code::DeadlineExceeded.into(), message: message.into(), details };
    Status::with_details(Code::DeadlineExceeded, message, whole.encode_to_vec().into())
}

/// A place where a document breaks its schema, as a message.
pub(crate) fn violation(violation: &delta_core::error::Violation) -> Violation {
    Violation {
        pointer: violation.pointer.clone(),
        schema_pointer: violation.schema_pointer.clone(),
        keyword: violation.keyword.clone(),
        message: violation.message.clone(),
    }
}

/// As many violations as fit.
fn violations(error: &Error) -> Violations {
    let mut left = DETAILS_BYTES_MAX;
    let mut fits = |violation: &Violation| {
        left = left.saturating_sub(violation.encoded_len() + 4);
        left > 0
    };
    Violations { violations: error.violations().iter().map(violation).take_while(|one| fits(one)).collect() }
}

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

fn cut(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::StatusExt;

    #[test]
    fn a_status_carries_the_code_and_every_violation_that_fits() {
        let one = |n: usize| delta_core::error::Violation {
            pointer: format!("/{n}"),
            schema_pointer: "/type".into(),
            keyword: "type".into(),
            message: "x".repeat(200),
        };
        let error = Error::schema_violation("ä".repeat(2_000), (0..100).map(one).collect());
        let status = status(&error);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.get_details_error_info().unwrap().reason, "schema_violation");
        let whole = pb::Status::decode(status.details()).unwrap();
        let violations = whole.details.iter().find(|any| any.type_url.ends_with("/delta.v1.Violations")).unwrap();
        let violations = Violations::decode(violations.value.as_slice()).unwrap().violations;
        assert!((10..20).contains(&violations.len()), "{}", violations.len());
        assert_eq!(violations[1].pointer, "/1");
        let mut trailers = http::HeaderMap::new();
        status.add_header(&mut trailers).unwrap();
        assert!(trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum::<usize>() < 8 << 10);
    }

    #[test]
    fn what_happened_inside_stays_inside() {
        for error in [Error::internal("secret"), Error::damaged("secret")] {
            let status = status(&error);
            assert_eq!(status.code(), Code::Internal);
            assert!(!format!("{status:?}").contains("secret"));
            assert!(!String::from_utf8_lossy(status.details()).contains("secret"));
            assert!(status.get_details_request_info().unwrap().request_id.starts_with("urn:deltadb:request:"));
        }
    }
}
