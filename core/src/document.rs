//! JSON documents as the bytes the client sent.
//!
//! Parsing checks everything RFC 8259 leaves open to interpretation and repairs nothing: duplicate object keys, lone
//! surrogates, invalid UTF-8, trailing bytes and too deep nesting are refused. The bytes are kept, so numbers of any
//! size and the order of keys survive. The parser is our own because general ones either repair or forget: serde_json
//! keeps the last of two equal keys and refuses numbers that no `f64` can hold.

pub(crate) mod equal;
mod parser;
pub(crate) mod tree;

use std::fmt;

use bytes::Bytes;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::pointer::Pointer;

use parser::Parser;

/// How deep arrays and objects may nest where nothing else is configured.
pub const DEPTH_MAX: usize = 128;
/// The largest depth that can be configured: the parser recurses, and a thread's stack must hold it.
pub const DEPTH_MAX_CEILING: usize = 512;

/// One JSON value, checked, as the exact bytes it was received in.
#[derive(Clone, PartialEq, Eq)]
pub struct Document(Bytes);

impl Document {
    /// Checks one JSON value and keeps a copy of its bytes, surrounding white space included.
    pub fn parse(bytes: &[u8], depth_max: usize) -> Result<Self> {
        let text = utf8(bytes)?;
        let mut parser = Parser::new(text, depth_max);
        parser.document::<()>()?;
        Ok(Self(Bytes::copy_from_slice(bytes)))
    }

    /// Takes bytes that this product has checked: before they were sealed, or at the other end of a cluster's stream.
    pub fn trusted(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// No document: the body of a tombstone.
    pub(crate) fn empty() -> Self {
        Self(Bytes::new())
    }

    /// The bytes, as they were received.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The part that a pointer leads to, as the exact bytes it was received in; `None` where it leads nowhere.
    pub fn at(&self, pointer: &Pointer) -> Result<Option<Self>> {
        let part = tree::find(utf8(&self.0)?, pointer.steps())?;
        Ok(part.map(|part| Self(self.0.slice_ref(part.as_bytes()))))
    }

    /// The text, which was checked before.
    pub(crate) fn text(&self) -> Result<&str> {
        utf8(&self.0)
    }

    /// The document as a tree, for a validator. Numbers that neither `i64`, `u64` nor `f64` can hold become the nearest
    /// finite `f64`.
    pub fn to_value(&self) -> Result<Value> {
        Parser::new(utf8(&self.0)?, DEPTH_MAX_CEILING).document::<Value>()
    }
}

/// A document is the client's: its bytes never reach a log.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} bytes)", self.0.len())
    }
}

/// Splits the object `{key: document, …}` into its members, each document in the exact bytes it was received in.
pub fn parse_members(bytes: &[u8], depth_max: usize) -> Result<Vec<(String, Document)>> {
    let text = utf8(bytes)?;
    // The outer object is the request's, not a document's: the members have the whole depth.
    let mut parser = Parser::new(text, depth_max.saturating_add(1));
    parser.space();
    if parser.peek() != Some(b'{') {
        return Err(parser.error("the body must be an object of the form {\"key\": document, …}"));
    }
    let mut members = Vec::new();
    parser.object(|parser, key| {
        let start = parser.at;
        parser.value::<()>()?;
        let slice = parser.bytes.get(start..parser.at).unwrap_or_default();
        members.push((key.to_owned(), Document(Bytes::copy_from_slice(slice))));
        Ok(())
    })?;
    parser.end()?;
    Ok(members)
}

/// Splits the array `[document, …]` into its elements, each in the exact bytes it was received in.
pub fn parse_elements(bytes: &[u8], depth_max: usize) -> Result<Vec<Document>> {
    let mut parser = Parser::new(utf8(bytes)?, depth_max.saturating_add(1));
    parser.space();
    if parser.peek() != Some(b'[') {
        return Err(parser.error("expected an array"));
    }
    let mut elements = Vec::new();
    parser.elements(|parser| {
        let start = parser.at;
        parser.value::<()>()?;
        let slice = parser.bytes.get(start..parser.at).unwrap_or_default();
        elements.push(Document(Bytes::copy_from_slice(slice)));
        Ok(())
    })?;
    parser.end()?;
    Ok(elements)
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        Error::invalid("bad_json", format!("not valid JSON: invalid UTF-8 at byte {}", error.valid_up_to()))
    })
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
