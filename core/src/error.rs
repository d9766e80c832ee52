//! What can go wrong, said so that the caller knows what to do next.
//!
//! One error type for the whole product: a kind (what to do), a stable code (what clients match on) and one line
//! for a person. HTTP and gRPC statuses are not decided here: the server maps kinds in one table.
//! A message never holds a document, a credential or key material.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong: change it.
    Invalid,
    /// No credential, or one that does not count: log in.
    Unauthorized,
    /// The caller is known and may not do this: ask an administrator.
    Forbidden,
    /// There is nothing here.
    NotFound,
    /// Somebody else changed it in between: read again and decide.
    Conflict,
    /// The condition that the request stated does not hold: read again and decide.
    PreconditionFailed,
    /// More than a limit allows: send less.
    TooLarge,
    /// Too often: wait.
    Throttled,
    /// Nothing was changed, and it may work later: repeat.
    Unavailable,
    /// The write may or may not have been applied: read before repeating.
    OutcomeUnknown,
    /// What is stored does not open: restore it, never trust it.
    Damaged,
    /// A fault of ours, or a configuration that cannot work.
    Internal,
}

impl ErrorKind {
    /// The code used when an error gives none of its own.
    pub fn code(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::PreconditionFailed => "precondition_failed",
            Self::TooLarge => "too_large",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Damaged => "damaged",
            Self::Internal => "internal",
        }
    }
}

/// One place in a document that breaks its schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Where in the document, as a JSON Pointer (RFC 6901); empty for the whole document.
    pub pointer: String,
    /// Which part of the schema, as a JSON Pointer.
    pub schema_pointer: String,
    /// The keyword that does not hold, `required` for example.
    pub keyword: String,
    /// One line for a person.
    pub message: String,
}

/// An error: its kind says what to do next, its code is stable, its `Display` is one line in lower case.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    code: Cow<'static, str>,
    message: String,
    violations: Vec<Violation>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of a kind, under the kind's own code.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::from_wire(kind, kind.code(), message, Vec::new())
    }

    /// The error that a client was told of, as it was told.
    pub fn from_wire(
        kind: ErrorKind,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
        violations: Vec<Violation>,
    ) -> Self {
        Self(Box::new(Inner { kind, code: code.into(), message: message.into(), violations, source: None }))
    }

    /// The request is wrong; `code` says how.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message).with_code(code)
    }

    /// There is nothing here.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// The stored state is not what the write expected.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// A limit with a name was passed.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, message)
    }

    /// Nothing was changed, and it may work later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// The write may or may not have been applied.
    pub fn outcome_unknown(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::OutcomeUnknown, message)
    }

    /// What is stored does not open.
    pub fn damaged(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged, message)
    }

    /// A fault of ours, or a configuration that cannot work.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// A document that breaks its schema, with every violation found.
    pub fn schema_violation(message: impl Into<String>, violations: Vec<Violation>) -> Self {
        let mut error = Self::invalid("schema_violation", message);
        error.0.violations = violations;
        error
    }

    /// The same error under another code.
    #[must_use]
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.0.code = code.into();
        self
    }

    /// The same error with what caused it; the cause is for logs, not for clients.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error, its line led by where it happened.
    #[must_use]
    pub fn context(mut self, at: impl fmt::Display) -> Self {
        self.0.message = format!("{at}: {}", self.0.message);
        self
    }

    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The stable code that clients match on.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// Every violation of a schema, empty for other errors.
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.0.code, self.0.kind.code(), self.0.message)?;
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
