//! Requests, rendered once and then only patched: what the generator costs is missing to the server beside it.
//!
//! A URL's path may hold `{key}`; it becomes a key of ten characters, another one in each request.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::{Context, Result, bail};

/// Where a template wants a key.
const PLACE: &str = "{key}";
/// A key: `k` and nine digits.
const KEY_BYTES: usize = 10;
/// Any odd number: the same sequence in every run.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Which entities requests are about, out of a number of them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keys {
    /// Any, evenly.
    Random(u64),
    /// One after the other, from the start again after the last.
    InOrder(u64),
}

/// Where requests go.
#[derive(Debug, Clone)]
pub(crate) struct Url {
    pub(crate) addr: SocketAddr,
    host: String,
    path: String,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let Some(rest) = text.strip_prefix("http://") else { bail!("{text} is not an http:// URL") };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let addr = host.to_socket_addrs().with_context(|| format!("{host} is not HOST:PORT"))?.next();
        let addr = addr.with_context(|| format!("{host} has no address"))?;
        Ok(Self { addr, host: host.to_owned(), path: format!("/{path}") })
    }
}

/// A stream of requests that differ in their keys only.
#[derive(Debug)]
pub(crate) struct Requests {
    bytes: Vec<u8>,
    keys_at: Vec<usize>,
    keys: Keys,
    /// The next key in order.
    next: u64,
    random: u64,
    /// What comes between two of these.
    between: Option<Box<Requests>>,
    /// Whether that is next.
    is_between: bool,
}

impl Requests {
    /// GETs, or PUTs where there is a body.
    pub(crate) fn new(url: &Url, token: &str, body: Option<&str>, keys: Keys) -> Self {
        let mut text = format!("{} {} HTTP/1.1\r\n", if body.is_some() { "PUT" } else { "GET" }, url.path);
        text += &format!("Host: {}\r\nAuthorization: Bearer {token}\r\n", url.host);
        if let Some(body) = body {
            let bytes = body.len() + body.matches(PLACE).count() * (KEY_BYTES - PLACE.len());
            text += &format!("Content-Type: application/json\r\nContent-Length: {bytes}\r\n");
        }
        text += "\r\n";
        text += body.unwrap_or_default();

        let (mut bytes, mut keys_at) = (Vec::with_capacity(text.len() * 2), Vec::new());
        let mut parts = text.split(PLACE);
        bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
        for part in parts {
            keys_at.push(bytes.len());
            bytes.extend_from_slice(b"k000000000");
            bytes.extend_from_slice(part.as_bytes());
        }
        Self { bytes, keys_at, keys, next: 0, random: SEED, between: None, is_between: false }
    }

    /// Anything that holds one key.
    pub(crate) fn of_bytes(bytes: Vec<u8>, key_at: usize, keys: Keys) -> Self {
        let keys_at = vec![key_at];
        Self { bytes, keys_at, keys, next: 0, random: SEED, between: None, is_between: false }
    }

    /// These and the others in turns, these first.
    pub(crate) fn alternating(self, others: Self) -> Self {
        Self { between: Some(Box::new(others)), ..self }
    }

    /// How many entities one request is about.
    pub(crate) fn entities(&self) -> usize {
        self.keys_at.len().max(1)
    }

    /// The next request; the keys within one follow each other, so they differ.
    pub(crate) fn next(&mut self) -> &[u8] {
        let is_between = self.is_between;
        self.is_between = !is_between && self.between.is_some();
        if is_between {
            return self.between.as_mut().map_or(&[], |between| between.next());
        }
        let (first, count) = match self.keys {
            Keys::Random(count) => (self.random() % count, count),
            Keys::InOrder(count) => (self.next, count),
        };
        self.next = first + self.keys_at.len() as u64;
        for (offset, &at) in (0..).zip(&self.keys_at) {
            let mut key = (first + offset) % count;
            for digit in self.bytes.iter_mut().skip(at + 1).take(KEY_BYTES - 1).rev() {
                *digit = b'0' + (key % 10) as u8;
                key /= 10;
            }
        }
        &self.bytes
    }

    /// xorshift64 (Marsaglia 2003): evenness is all that is asked of it.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// A JSON document of exactly this many bytes, with a bit of everything.
pub(crate) fn document(bytes: usize) -> String {
    const HEAD: &str = r#"{"name":"Ada","age":36,"tags":["a","b"],"active":true,"score":12.5,"text":""#;
    const TAIL: &str = "\"}";
    let padding = bytes.saturating_sub(HEAD.len() + TAIL.len());
    format!("{HEAD}{}{TAIL}", "x".repeat(padding))
}

/// The body of a map PUT: this many documents, each under a key of its own.
pub(crate) fn documents(count: usize, bytes: usize) -> String {
    let member = format!("\"{PLACE}\":{}", document(bytes));
    format!("{{{}}}", vec![member; count].join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(requests: &mut Requests) -> String {
        String::from_utf8(requests.next().to_vec()).unwrap()
    }

    #[test]
    fn a_request_is_patched_with_its_key() {
        let url = Url::parse("http://127.0.0.1:80/entity/db/{key}?a=b").unwrap();
        let mut requests = Requests::new(&url, "t", Some("[1]"), Keys::InOrder(2));
        let expected = "PUT /entity/db/k000000000?a=b HTTP/1.1\r\nHost: 127.0.0.1:80\r\nAuthorization: Bearer t\r\n\
                        Content-Type: application/json\r\nContent-Length: 3\r\n\r\n[1]";
        assert_eq!(text(&mut requests), expected);
        assert_eq!(text(&mut requests), expected.replace("k000000000", "k000000001"));
        assert_eq!(text(&mut requests), expected);
    }

    #[test]
    fn a_map_holds_keys_that_differ_and_says_its_length() {
        let url = Url::parse("http://127.0.0.1:80/entity/db").unwrap();
        for keys in [Keys::InOrder(1_000), Keys::Random(1_000)] {
            let mut requests = Requests::new(&url, "t", Some(&documents(3, 100)), keys);
            for _ in 0..100 {
                let request = text(&mut requests);
                let (head, body) = request.split_once("\r\n\r\n").unwrap();
                assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
                let body: serde_json::Value = serde_json::from_str(body).unwrap();
                assert_eq!(body.as_object().unwrap().len(), 3);
            }
        }
    }

    #[test]
    fn two_kinds_of_requests_take_turns_over_the_same_keys() {
        let url = Url::parse("http://127.0.0.1:80/{key}").unwrap();
        let [puts, gets] = [Some("1"), None].map(|body| Requests::new(&url, "t", body, Keys::InOrder(3)));
        let mut requests = puts.alternating(gets);
        for expected in ["PUT /k000000000 ", "GET /k000000000 ", "PUT /k000000001 ", "GET /k000000001 "] {
            let request = text(&mut requests);
            assert!(request.starts_with(expected), "{request}");
        }
    }

    #[test]
    fn documents_have_their_size() {
        for bytes in [100, 300, 1024] {
            let document = document(bytes);
            assert_eq!(document.len(), bytes);
            assert!(serde_json::from_str::<serde_json::Value>(&document).is_ok());
        }
    }
}
