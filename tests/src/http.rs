//! A small blocking HTTP/1.1 client: what goes over the wire is what a test wrote, malformed bytes included.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::leaks;

/// How long an answer may take before the test fails.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A request. Nothing is added to it but `Host`, the client's credential and `Content-Length`.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// Any method on any target, which is sent as it is given.
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: None }
    }

    /// The same request with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same request with a body.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().to_vec());
        self
    }

    /// What it is about, as it is sent.
    pub fn target(&self) -> &str {
        &self.target
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name))
    }

    /// Tells the harness what of this the server must not print.
    fn note(&self, server: SocketAddr, bearer: Option<&str>) {
        let given = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let given = given.filter_map(|(_, value)| value.split_whitespace().last());
        bearer.into_iter().chain(given).for_each(|credential| leaks::note_credential(server, credential));
        let body = self.body.as_deref().unwrap_or_default();
        if self.target.starts_with("/api/login") {
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            let key = body.get("key").and_then(Value::as_str);
            key.into_iter().for_each(|key| leaks::note_credential(server, key));
        }
        if self.target.starts_with("/entity/") {
            leaks::note_document(server, body);
        }
    }

    fn to_bytes(&self, host: SocketAddr, bearer: Option<&str>) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let mut line = |name: &str, value: &str| text.push_str(&format!("{name}: {value}\r\n"));
        line("Host", &host.to_string());
        if let (Some(bearer), false) = (bearer, self.has("Authorization")) {
            line("Authorization", &format!("Bearer {bearer}"));
        }
        self.headers.iter().for_each(|(name, value)| line(name, value));
        let length = self.body.as_ref().map(Vec::len);
        if let (Some(length), false) = (length, self.has("Content-Length") || self.has("Transfer-Encoding")) {
            line("Content-Length", &length.to_string());
        }
        text.push_str("\r\n");
        [text.as_bytes(), self.body.as_deref().unwrap_or_default()].concat()
    }
}

/// An answer, whole.
#[derive(Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The only value of a header; two of the same name fail the test.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
        let first = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "two headers {name}: {self:?}");
        first
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|_| panic!("not UTF-8: {self:?}"))
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// The same response, if it has this status; else the test fails and shows it.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        let start: String = body.chars().take(2_000).collect();
        write!(f, "{} {:?} {start}", self.status, self.headers)
    }
}

/// A client on one connection, which it keeps as long as the server does.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    bearer: Option<String>,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// A client without a credential.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, bearer: None, connection: None }
    }

    /// The same client with a credential.
    #[must_use]
    pub fn bearer(mut self, token: &str) -> Self {
        self.bearer = Some(token.into());
        self
    }

    /// Sends a request; no answer fails the test.
    #[track_caller]
    pub fn send(&mut self, request: &Request) -> Response {
        let answer = self.try_send(request);
        answer.unwrap_or_else(|error| panic!("{} {}: no answer: {error}", request.method, request.target))
    }

    /// Sends a request; an error says that no whole answer came.
    pub fn try_send(&mut self, request: &Request) -> io::Result<Response> {
        let bytes = request.to_bytes(self.address, self.bearer.as_deref());
        request.note(self.address, self.bearer.as_deref());
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(connect(self.address)?),
        };
        // A server may answer before it has read everything, and then stop reading.
        let written = connection.get_mut().write_all(&bytes);
        let answer = read_response(&mut connection, request.method == "HEAD");
        let answer = answer.map_err(|error| written.err().unwrap_or(error))?;
        leaks::note_answer(self.address, &answer.body);
        if answer.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    /// Where its server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port that it speaks from, while it has a connection.
    pub fn port(&self) -> Option<u16> {
        let connection = self.connection.as_ref()?.get_ref();
        connection.local_addr().ok().map(|address| address.port())
    }

    /// Sends bytes as they are on a connection of their own, and gives the first answer.
    pub fn raw(&self, bytes: &[u8]) -> io::Result<Response> {
        let mut stream = connect(self.address)?;
        let written = stream.write_all(bytes);
        let answer = read_response(&mut BufReader::new(stream), false);
        answer.map_err(|error| written.err().unwrap_or(error))
    }

    /// GET.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.send(&Request::new("GET", target))
    }

    /// PUT of a body without a type.
    #[track_caller]
    pub fn put(&mut self, target: &str, body: impl AsRef<[u8]>) -> Response {
        self.send(&Request::new("PUT", target).body(body))
    }

    /// POST of a body without a type.
    #[track_caller]
    pub fn post(&mut self, target: &str, body: impl AsRef<[u8]>) -> Response {
        self.send(&Request::new("POST", target).body(body))
    }

    /// DELETE.
    #[track_caller]
    pub fn delete(&mut self, target: &str) -> Response {
        self.send(&Request::new("DELETE", target))
    }
}

/// A connection whose reads and writes end within [`ANSWER_MAX`].
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn read_response(connection: &mut impl BufRead, head: bool) -> io::Result<Response> {
    let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let line = read_line(connection)?;
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|status| status.parse().ok());
    let status: u16 = status.ok_or_else(|| bad(format!("not a status line: {line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(connection)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| bad(format!("not a header: {line:?}")))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut response = Response { status, headers, body: Vec::new() };
    if head || matches!(status, 204 | 304) || status < 200 {
        return Ok(response);
    }
    if response.header("transfer-encoding") == Some("chunked") {
        read_chunks(connection, &mut response.body)?;
    } else if let Some(length) = response.header("content-length") {
        let length: usize = length.parse().map_err(|_| bad(format!("not a length: {length:?}")))?;
        response.body = vec![0; length];
        connection.read_exact(&mut response.body)?;
    } else {
        connection.read_to_end(&mut response.body)?;
    }
    Ok(response)
}

fn read_line(connection: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn read_chunks(connection: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let size = read_line(connection)?;
        let size = usize::from_str_radix(&size, 16).map_err(|_| io::Error::other(format!("not a chunk: {size:?}")))?;
        let start = body.len();
        body.resize(start + size, 0);
        connection.read_exact(body.get_mut(start..).unwrap_or_default())?;
        read_line(connection)?;
        if size == 0 {
            return Ok(());
        }
    }
}
