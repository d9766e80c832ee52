//! The REST client behind the commands: one request at a time, each answer whole.
//!
//! It adds the credential, encodes names, and turns everything that is not the answer hoped for into one line that says
//! what to do. Redirects are never followed, because a credential must not travel to where the user did not send it.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::{Certificate, ClientBuilder, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::connection::{Connection, Credential};
use super::failure::{Exit, Failure, Outcome};
use super::output::printable;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// How long the way to the server may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long a connection is used again after an answer; servers close theirs a while later.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// The code of an answer that no server of ours gives.
pub(crate) const BAD_ANSWER: &str = "bad_answer";
/// What a document is sent as.
pub(crate) const JSON: &str = "application/json";

/// A connection to one server.
pub(crate) struct Client {
    runtime: Runtime,
    http: reqwest::Client,
    url: Url,
    timeout: Duration,
    credential: Credential,
}

/// An answer of the server that says that it did what it was asked to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Outcome<Value> {
        self.parse()
    }

    /// The body as an object of the API; members that it does not know are no error.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Outcome<T> {
        serde_json::from_slice(&self.body).map_err(|_| bad_answer())
    }

    /// A header's value, where there is one.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// An answer of something that is no server of ours, or one of another time.
pub(crate) fn bad_answer() -> Failure {
    let detail = "the answer is not what a DeltaDatabase server sends; check --url, and the server's version";
    Failure::new(Exit::Failed, BAD_ANSWER, detail)
}

/// A request in the making.
pub(crate) struct Call<'a> {
    client: &'a Client,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
}

impl Client {
    /// Makes a client; nothing is sent yet.
    pub(crate) fn open(connection: &Connection) -> Outcome<Self> {
        Self::with_credential(connection, connection.credential()?)
    }

    /// Makes a client with a credential that the user did not set up: that of a session, or none.
    pub(crate) fn with_credential(connection: &Connection, credential: Credential) -> Outcome<Self> {
        let server = connection.server()?;
        let url = server.0.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_DEADLINE)
            .pool_idle_timeout(IDLE_MAX)
            .timeout(connection.timeout)
            .user_agent(concat!("deltadb/", env!("CARGO_PKG_VERSION")));
        // A proxy is for other machines: this one's credentials stay on it.
        let builder = if server.is_this_machine() { builder.no_proxy() } else { builder };
        let builder = trust(builder, &url, connection.ca_cert.as_deref())?;
        Ok(Self {
            runtime: runtime.context("cannot start the client")?,
            http: builder.build().context("cannot start the client")?,
            url,
            timeout: connection.timeout,
            credential,
        })
    }

    /// Begins a request; the parts of the path are names as they are, not yet encoded.
    pub(crate) fn call(&self, method: Method, path: &[&str]) -> Outcome<Call<'_>> {
        // A URL loses such a part wherever it stands, also encoded.
        if path.contains(&".") {
            let detail = "the name \".\" cannot stand in the path of a URL; choose another name";
            return Err(Failure::new(Exit::Failed, "invalid_key", detail));
        }
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        Ok(Call { client: self, method, url, headers: HeaderMap::new(), body: None })
    }

    /// Begins a GET.
    pub(crate) fn get(&self, path: &[&str]) -> Outcome<Call<'_>> {
        self.call(Method::GET, path)
    }

    fn send(&self, call: Call<'_>) -> Outcome<Answer> {
        let mut request = self.http.request(call.method, call.url).headers(call.headers);
        if let Some(body) = call.body {
            request = request.body(body);
        }
        if let Some(header) = self.credential.header()? {
            request = request.header(AUTHORIZATION, header);
        }
        let answer = self.runtime.block_on(async {
            let mut response = request.send().await?;
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                body.extend_from_slice(&chunk);
                if body.len() > ANSWER_BYTES_MAX {
                    break;
                }
            }
            Ok(Answer { status: response.status(), headers: response.headers().clone(), body: body.into() })
        });
        let answer = answer.map_err(|error: reqwest::Error| self.broken(&error))?;
        if answer.body.len() > ANSWER_BYTES_MAX {
            let detail = format!("the answer is larger than {ANSWER_BYTES_MAX} bytes; ask for less at once");
            return Err(Failure::new(Exit::Failed, "too_large", detail));
        }
        if answer.status.is_success() { Ok(answer) } else { Err(self.refused(&answer)) }
    }

    /// What it means that no answer came.
    fn broken(&self, error: &reqwest::Error) -> Failure {
        let url = &self.url;
        let mut cause = error.source();
        while let Some(deeper) = cause.and_then(std::error::Error::source) {
            cause = Some(deeper);
        }
        let cause = cause.map_or_else(|| error.to_string(), ToString::to_string);
        let cause = printable(&cause);
        let failure = |code, detail: String| Failure::new(Exit::Unavailable, code, detail);
        if cause.contains("certificate") {
            let advice = "if a private CA issued it, name that with --ca-cert FILE";
            return Failure::new(Exit::Failed, "untrusted", format!("{url} is not trusted: {cause}; {advice}"));
        }
        if error.is_connect() {
            let advice = "see that the server runs, and that --url or DELTADB_URL is its address";
            return failure("unreachable", format!("cannot reach {url}: {cause}; {advice}"));
        }
        let unknown = "whether it was carried out is not known: look before you send it again";
        if error.is_timeout() {
            let seconds = self.timeout.as_secs_f64();
            return failure("timeout", format!("{url} gave no answer in {seconds} s (--timeout); {unknown}"));
        }
        let tls = if url.scheme() == "http" { "; if it serves TLS, its address begins with https" } else { "" };
        failure("broken", format!("{url} broke off the request: {cause}; {unknown}{tls}"))
    }

    /// What it means that the server answered this.
    fn refused(&self, answer: &Answer) -> Failure {
        if answer.status.is_redirection() && answer.status != StatusCode::NOT_MODIFIED {
            let target = printable(answer.header(LOCATION.as_str()).unwrap_or("nowhere")).into_owned();
            let detail =
                format!("{} redirects to {target}, which is not followed; give the server's own --url", self.url);
            return Failure::new(Exit::Failed, "redirect", detail);
        }
        let Some(failure) = Failure::from_problem(answer.status, &answer.body) else {
            let detail =
                format!("{} answered {}, not as a DeltaDatabase server does; check --url", self.url, answer.status);
            let exit = if answer.status.is_server_error() { Exit::Unavailable } else { Exit::Failed };
            return Failure::new(exit, BAD_ANSWER, detail);
        };
        let failure = failure.retry_after(answer.header(RETRY_AFTER.as_str()));
        match answer.status {
            StatusCode::UNAUTHORIZED => failure.advise(self.credential.advice()),
            _ => failure,
        }
    }
}

impl Call<'_> {
    /// The same with a parameter of the query.
    #[must_use]
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// The same with a parameter of the query, where there is a value.
    #[must_use]
    pub(crate) fn query_if(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// The same with a header that the user gave, where there is one.
    pub(crate) fn header_if(mut self, name: http::HeaderName, value: Option<&str>) -> Outcome<Self> {
        if let Some(value) = value {
            let value =
                HeaderValue::from_str(value).map_err(|_| anyhow!("{name} cannot be {value:?}; use visible ASCII"))?;
            self.headers.insert(name, value);
        }
        Ok(self)
    }

    /// The same with a body.
    #[must_use]
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>, content_type: &'static str) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = Some(body.into());
        self
    }

    /// Sends the request; an answer that is not a success is a failure.
    pub(crate) fn send(self) -> Outcome<Answer> {
        self.client.send(self)
    }
}

/// Who is trusted: the system's authorities, or those of a file instead. Without TLS nobody is, and no time is spent on
/// reading the system's certificates.
fn trust(builder: ClientBuilder, url: &Url, ca_cert: Option<&Path>) -> Result<ClientBuilder> {
    // A provider that is there already is the same one.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let Some(file) = ca_cert else {
        return Ok(if url.scheme() == "https" { builder } else { builder.tls_certs_only([]) });
    };
    let pem = std::fs::read(file).with_context(|| format!("cannot read {} (--ca-cert)", file.display()))?;
    let certificates = Certificate::from_pem_bundle(&pem).ok().filter(|all| !all.is_empty());
    let certificates =
        certificates.with_context(|| format!("{} holds no PEM certificate (--ca-cert)", file.display()))?;
    Ok(builder.tls_certs_only(certificates))
}
