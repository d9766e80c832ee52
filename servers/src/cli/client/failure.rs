//! Why a client command ended otherwise than well: one line for a person, one JSON object for a program, an exit code.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::output::printable;

/// What a client command gives.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// The exit codes of the client commands, as the help documents them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Whoever read the output has seen enough; nothing went wrong.
    Quiet = 0,
    /// Anything that has no code of its own.
    Failed = 1,
    /// What was named does not exist.
    NotFound = 3,
    /// Somebody else changed it, or the stated condition does not hold.
    Conflict = 4,
    /// The credential is missing, wrong, or does not allow this.
    Refused = 5,
    /// The server cannot be reached, or cannot do this now.
    Unavailable = 6,
}

/// A client command that did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// What a program gets: at least `error`, a stable code, and `detail`.
    problem: Map<String, Value>,
    /// What to do, where the server's detail cannot know it.
    advice: Option<String>,
    /// When the server wants to be asked again.
    retry_after: Option<Duration>,
}

impl Failure {
    /// A failure on this side of the connection; `detail` says what to do.
    pub(crate) fn new(exit: Exit, code: &str, detail: impl Into<String>) -> Self {
        let members = [("error", json!(code)), ("detail", Value::String(detail.into()))];
        let problem = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { exit, problem, advice: None, retry_after: None }
    }

    /// Nobody reads the output any more.
    pub(crate) fn reader_gone() -> Self {
        Self::new(Exit::Quiet, "closed", "")
    }

    /// What the server answered instead of doing it, if that is a problem document (RFC 9457).
    pub(crate) fn from_problem(status: StatusCode, body: &[u8]) -> Option<Self> {
        let Ok(Value::Object(problem)) = serde_json::from_slice(body) else { return None };
        let exit = exit_of(status);
        let has_text = |name: &str| problem.get(name).is_some_and(Value::is_string);
        (has_text("detail") && has_text("error")).then_some(Self { exit, problem, advice: None, retry_after: None })
    }

    /// The same with what to do about it from here.
    #[must_use]
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The same with the server's `Retry-After`, which is a number of seconds.
    #[must_use]
    pub(crate) fn retry_after(mut self, header: Option<&str>) -> Self {
        self.retry_after = header.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        self
    }

    /// How long to wait before the same request may succeed; `None` where the server does not say that it may.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.retry_after.filter(|_| self.exit == Exit::Unavailable)
    }

    /// The same with words before the detail: which of many things it was that failed.
    #[must_use]
    pub(crate) fn about(mut self, what: &str) -> Self {
        let detail = format!("{what}: {}", self.detail());
        self.problem.insert("detail".into(), detail.into());
        self
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The stable code to match on.
    pub(crate) fn code(&self) -> &str {
        self.problem.get("error").and_then(Value::as_str).unwrap_or_default()
    }

    fn detail(&self) -> &str {
        self.problem.get("detail").and_then(Value::as_str).unwrap_or_default()
    }

    /// One line for a person, which no text from elsewhere can break or colour.
    pub(crate) fn line(&self) -> String {
        let mut line = printable(self.detail()).into_owned();
        let violations =
            self.problem.get("violations").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if let Some(first) = violations.first() {
            let text = |name: &str| first.get(name).and_then(Value::as_str).unwrap_or_default();
            let (pointer, message) = (printable(text("pointer")), printable(text("message")));
            if !line.contains(&*message) {
                let place = if pointer.is_empty() { "the top".into() } else { pointer };
                line.push_str(&format!("; at {place}: {message}"));
            }
            if violations.len() > 1 && !line.contains("more") {
                line.push_str(&format!(" (and {} more, see --json)", violations.len() - 1));
            }
        }
        if let Some(advice) = &self.advice {
            line.push_str("; ");
            line.push_str(advice);
        }
        line
    }

    /// One line of JSON for a program.
    pub(crate) fn json(&self) -> String {
        let mut problem = self.problem.clone();
        if let Some(advice) = &self.advice {
            problem.insert("advice".into(), advice.clone().into());
        }
        Value::Object(problem).to_string()
    }
}

fn exit_of(status: StatusCode) -> Exit {
    match status {
        StatusCode::NOT_FOUND => Exit::NotFound,
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Exit::Conflict,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::Refused,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::BAD_GATEWAY
        | StatusCode::GATEWAY_TIMEOUT => Exit::Unavailable,
        _ => Exit::Failed,
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, "failed", format!("{error:#}"))
    }
}

impl From<delta_core::Error> for Failure {
    fn from(error: delta_core::Error) -> Self {
        Self::new(Exit::Failed, error.code(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, body: &Value) -> Failure {
        Failure::from_problem(StatusCode::from_u16(status).unwrap(), body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_line_stays_one_line_whatever_the_server_says() {
        let failure = problem(400, &json!({"error": "bad", "detail": "a\nb\u{1b}[31mc"}));
        assert_eq!(failure.line(), "a\\nb\\u{1b}[31mc");
        assert_eq!(failure.json().lines().count(), 1);
    }

    #[test]
    fn violations_are_told_once() {
        let violation = |message: &str| json!({"pointer": "/a", "message": message});
        let body = json!({"error": "schema_violation", "detail": "no", "violations": [violation("x"), violation("y")]});
        assert_eq!(problem(400, &body).line(), "no; at /a: x (and 1 more, see --json)");
        let body = json!({"error": "schema_violation", "detail": "/a: x", "violations": [violation("x")]});
        assert_eq!(problem(400, &body).line(), "/a: x");
    }

    #[test]
    fn exit_codes_follow_the_status() {
        for (status, exit) in [(400, 1), (404, 3), (409, 4), (412, 4), (401, 5), (403, 5), (429, 6), (503, 6), (500, 1)]
        {
            let failure = problem(status, &json!({"error": "e", "detail": "d"}));
            assert_eq!(failure.exit() as u8, exit, "{status}");
        }
    }

    #[test]
    fn only_a_problem_document_is_taken_for_one() {
        for body in ["", "<html>", "[]", "{}", "{\"detail\":\"d\"}", "{\"error\":1,\"detail\":\"d\"}"] {
            assert!(Failure::from_problem(StatusCode::BAD_REQUEST, body.as_bytes()).is_none(), "{body}");
        }
    }
}
