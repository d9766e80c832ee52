//! Many documents: a map or a file of lines, cut into requests that a server takes.
//!
//! Each document goes over the wire in the bytes that the file has. A request is written whole or not at all, so after a
//! failure the same command can be run again: what was written is written once more, with the same content.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use ::http::Method;
use anyhow::{Context, Result, anyhow, bail};
use delta_core::document::{DEPTH_MAX_CEILING, Document, parse_members};
use delta_core::name::{DatabaseName, EntityKey};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::connection::Connection;
use super::failure::{Failure, Outcome};
use super::http::{Client, JSON};
use super::{input, output};
use crate::cli::progress;

/// The most documents in one request, as servers have it by default.
const BATCH_ENTITIES_MAX: usize = 1_000;
/// The largest body of a request of several documents, as servers have it by default.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// How often a request is sent to a server that cannot take it now.
const ATTEMPTS_MAX: u32 = 5;
/// The longest time between two attempts, whatever the server asks for.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The longest line.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// Where the documents go.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) database: &'a DatabaseName,
    pub(crate) schema: Option<&'a str>,
}

/// Writes every member of an object.
pub(crate) fn put_map(target: &Target<'_>, file: &Path) -> Outcome {
    let name = input::name(file);
    let wrong = |error: delta_core::Error| Failure::from(error).about(&name);
    let members = parse_members(&input::read(file)?, DEPTH_MAX_CEILING).map_err(wrong)?;
    // Every key is looked at before the first request.
    for (key, _) in &members {
        EntityKey::parse(key).map_err(wrong)?;
    }
    let progress = progress::bar(members.len() as u64, false);
    let mut load = Load::new(target, progress)?;
    for (key, document) in members {
        load.add(key, &document)?;
        load.progress.inc(1);
    }
    load.end()
}

/// Writes the documents of a file of lines.
pub(crate) fn put_lines(target: &Target<'_>, file: &Path) -> Outcome {
    let (input, size) = input::open(file)?;
    let progress = size.map_or_else(progress::spinner, |size| progress::bar(size, true));
    let mut load = Load::new(target, progress)?;
    let mut input = BufReader::new(input);
    let mut bytes = Vec::new();
    for number in 1_u64.. {
        bytes.clear();
        let place = || format!("{}, line {number}", input::name(file));
        let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes).with_context(place)?;
        if read == 0 {
            break;
        }
        if read as u64 == LINE_BYTES_MAX && !bytes.ends_with(b"\n") {
            return Err(load.failed(anyhow!("{}: the line is longer than {LINE_BYTES_MAX} bytes", place()).into()));
        }
        if !bytes.trim_ascii().is_empty() {
            match entity(&bytes) {
                Ok((key, document)) => load.add(key, &document)?,
                Err(error) => return Err(load.failed(Failure::from(error).about(&place()))),
            }
        }
        load.progress.inc(read as u64);
    }
    load.end()
}

/// The key and the document of a line.
fn entity(line: &[u8]) -> Result<(String, Document)> {
    let (mut key, mut document) = (None, None);
    for (name, value) in parse_members(line, DEPTH_MAX_CEILING)? {
        match name.as_str() {
            "key" => key = serde_json::from_slice::<String>(value.bytes()).ok(),
            "document" => document = Some(value),
            // An exported line may say more about the document.
            _ => {}
        }
    }
    let (Some(key), Some(document)) = (key, document) else {
        bail!("a line must be an object like {{\"key\": \"room-1\", \"document\": …}}");
    };
    EntityKey::parse(&key)?;
    Ok((key, document))
}

/// Documents on their way, the next request in the making.
struct Load<'a> {
    target: &'a Target<'a>,
    client: Client,
    progress: ProgressBar,
    body: Vec<u8>,
    keys: HashSet<String>,
    written: u64,
    requests: u64,
}

impl<'a> Load<'a> {
    fn new(target: &'a Target<'a>, progress: ProgressBar) -> Outcome<Self> {
        let client = Client::open(target.connection)?;
        Ok(Self { target, client, progress, body: Vec::new(), keys: HashSet::new(), written: 0, requests: 0 })
    }

    /// Adds a document, after sending what is there if it has no room or has the key already.
    fn add(&mut self, key: String, document: &Document) -> Outcome {
        let name = Value::from(key.as_str()).to_string();
        // A brace or comma before it, a colon, a closing brace.
        let bytes = self.body.len() + name.len() + document.bytes().len() + 3;
        if self.keys.len() >= BATCH_ENTITIES_MAX || self.keys.contains(&key) || bytes > BATCH_BYTES_MAX {
            self.send()?;
        }
        self.body.push(if self.keys.is_empty() { b'{' } else { b',' });
        self.body.extend_from_slice(name.as_bytes());
        self.body.push(b':');
        self.body.extend_from_slice(document.bytes());
        self.keys.insert(key);
        Ok(())
    }

    fn send(&mut self) -> Outcome {
        if self.keys.is_empty() {
            return Ok(());
        }
        let mut body = std::mem::take(&mut self.body);
        body.push(b'}');
        self.put(&body).map_err(|failure| self.failed(failure))?;
        self.written += self.keys.len() as u64;
        self.requests += 1;
        self.keys.clear();
        self.progress.set_message(documents(self.written));
        Ok(())
    }

    /// Sends a request, and again while the server says that it may succeed later: it writes the same however often.
    fn put(&self, body: &[u8]) -> Outcome {
        let mut attempts = 0;
        loop {
            let call = self.client.call(Method::PUT, &["entity", self.target.database.as_str()])?;
            let sent = call.query_if("schema_id", self.target.schema).body(body, JSON).send();
            attempts += 1;
            match sent {
                Ok(_) => return Ok(()),
                Err(failure) => match failure.wait() {
                    Some(wait) if attempts < ATTEMPTS_MAX => std::thread::sleep(wait.min(WAIT_MAX)),
                    _ => return Err(failure),
                },
            }
        }
    }

    /// Sends the rest and says how much it was.
    fn end(mut self) -> Outcome {
        self.send()?;
        self.progress.finish_and_clear();
        if self.target.connection.json {
            let done = json!({"status": "ok", "written": self.written, "requests": self.requests});
            return output::line(&done.to_string());
        }
        output::line(&format!("written {} to {}", documents(self.written), self.target.database))
    }

    /// Says how far it came.
    fn failed(&self, failure: Failure) -> Failure {
        self.progress.finish_and_clear();
        match self.written {
            0 => failure,
            written => {
                failure.advise(format!("{written} documents before it are written, and running it again is safe"))
            }
        }
    }
}

fn documents(count: u64) -> String {
    if count == 1 { "1 document".into() } else { format!("{count} documents") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_key_and_a_document_in_its_own_bytes() {
        let (key, document) =
            entity(b" {\"version\": 3, \"document\": [1.50, \"\\u00fc\"], \"key\": \"a b\"}\n").unwrap();
        assert_eq!((key.as_str(), &document.bytes()[..]), ("a b", &b"[1.50, \"\\u00fc\"]"[..]));
        for bad in ["", "[]", "{}", "{\"key\":1,\"document\":2}", "{\"key\":\"a/b\",\"document\":2}", "{\"key\":\"a\"}"]
        {
            assert!(entity(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
