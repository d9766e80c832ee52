//! JSON documents as the bytes the client sent.
//!
//! Parsing checks everything RFC 8259 leaves open to interpretation and repairs nothing: duplicate object keys, lone
//! surrogates, invalid UTF-8, trailing bytes and too deep nesting are refused. The bytes are kept, so numbers of any
//! size and the order of keys survive. The parser is our own because general ones either repair or forget: serde_json
//! keeps the last of two equal keys and refuses numbers that no `f64` can hold.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;
use serde_json::{Map, Number, Value};

use crate::error::{Error, Result};

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

    /// Takes bytes that were checked before they were sealed.
    pub(crate) fn trusted(bytes: Bytes) -> Self {
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

fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        Error::invalid("bad_json", format!("not valid JSON: invalid UTF-8 at byte {}", error.valid_up_to()))
    })
}

/// What a parse leaves behind: nothing, or a tree.
trait Build: Sized {
    type Members: Default;
    fn null() -> Self;
    fn boolean(value: bool) -> Self;
    fn number(text: &str) -> Self;
    fn string(text: Cow<'_, str>) -> Self;
    fn array(items: Vec<Self>) -> Self;
    fn member(members: &mut Self::Members, key: &str, value: Self);
    fn object(members: Self::Members) -> Self;
}

impl Build for () {
    type Members = ();
    fn null() {}
    fn boolean(_: bool) {}
    fn number(_: &str) {}
    fn string(_: Cow<'_, str>) {}
    fn array(_: Vec<()>) {}
    fn member((): &mut (), _: &str, (): ()) {}
    fn object((): ()) {}
}

impl Build for Value {
    type Members = Map<String, Value>;
    fn null() -> Self {
        Self::Null
    }
    fn boolean(value: bool) -> Self {
        Self::Bool(value)
    }
    fn number(text: &str) -> Self {
        if let Ok(value) = text.parse::<i64>() {
            return Self::Number(value.into());
        }
        if let Ok(value) = text.parse::<u64>() {
            return Self::Number(value.into());
        }
        let value = text.parse::<f64>().unwrap_or_default().clamp(f64::MIN, f64::MAX);
        Number::from_f64(value).map_or(Self::Null, Self::Number)
    }
    fn string(text: Cow<'_, str>) -> Self {
        Self::String(text.into_owned())
    }
    fn array(items: Vec<Self>) -> Self {
        Self::Array(items)
    }
    fn member(members: &mut Self::Members, key: &str, value: Self) {
        members.insert(key.to_owned(), value);
    }
    fn object(members: Self::Members) -> Self {
        Self::Object(members)
    }
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth_left: usize,
    depth_max: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, depth_max: usize) -> Self {
        let depth_max = depth_max.min(DEPTH_MAX_CEILING + 1);
        Self { text, bytes: text.as_bytes(), at: 0, depth_left: depth_max, depth_max }
    }

    fn error(&self, what: &str) -> Error {
        Error::invalid("bad_json", format!("not valid JSON at byte {}: {what}", self.at))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8, what: &str) -> Result<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.error(what))
    }

    fn document<V: Build>(&mut self) -> Result<V> {
        self.space();
        let value = self.value()?;
        self.end()?;
        Ok(value)
    }

    fn end(&mut self) -> Result<()> {
        self.space();
        if self.at < self.bytes.len() {
            return Err(self.error("bytes after the end of the document"));
        }
        Ok(())
    }

    fn value<V: Build>(&mut self) -> Result<V> {
        match self.peek() {
            Some(b'{') => {
                let mut members = V::Members::default();
                self.object(|parser, key| {
                    let value = parser.value()?;
                    V::member(&mut members, key, value);
                    Ok(())
                })?;
                Ok(V::object(members))
            }
            Some(b'[') => self.array(),
            Some(b'"') => Ok(V::string(self.string()?)),
            Some(b'-' | b'0'..=b'9') => Ok(V::number(self.number()?)),
            Some(b't') => self.word("true", V::boolean(true)),
            Some(b'f') => self.word("false", V::boolean(false)),
            Some(b'n') => self.word("null", V::null()),
            Some(_) => Err(self.error("expected a value")),
            None => Err(self.error("it ends where a value is expected")),
        }
    }

    fn word<V>(&mut self, word: &str, value: V) -> Result<V> {
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            return Ok(value);
        }
        Err(self.error("expected a value"))
    }

    fn enter(&mut self) -> Result<()> {
        self.at += 1;
        match self.depth_left.checked_sub(1) {
            Some(left) => self.depth_left = left,
            None => return Err(self.error(&format!("nested deeper than {} levels", self.depth_max))),
        }
        self.space();
        Ok(())
    }

    fn array<V: Build>(&mut self) -> Result<V> {
        self.enter()?;
        let mut items = Vec::new();
        if self.peek() != Some(b']') {
            loop {
                self.space();
                items.push(self.value()?);
                self.space();
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
            }
        }
        self.take(b']', "expected ',' or ']'")?;
        self.depth_left += 1;
        Ok(V::array(items))
    }

    fn object(&mut self, mut member: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        self.enter()?;
        let mut seen = Seen::default();
        if self.peek() != Some(b'}') {
            loop {
                self.space();
                if self.peek() != Some(b'"') {
                    return Err(self.error("expected an object key in double quotes"));
                }
                let key = self.string()?;
                self.space();
                self.take(b':', "expected ':'")?;
                self.space();
                member(self, &key)?;
                if !seen.insert(key) {
                    return Err(self.error("an object has the same key twice"));
                }
                self.space();
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
            }
        }
        self.take(b'}', "expected ',' or '}'")?;
        self.depth_left += 1;
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.error("expected a digit")) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        let mut unescaped: Option<String> = None;
        let mut copied = start;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let rest = self.text.get(copied..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(match unescaped {
                        None => Cow::Borrowed(rest),
                        Some(text) => Cow::Owned(text + rest),
                    });
                }
                Some(b'\\') => {
                    let text = unescaped.get_or_insert_default();
                    text.push_str(self.text.get(copied..self.at).unwrap_or_default());
                    let character = self.escape()?;
                    text.push(character);
                    copied = self.at;
                }
                Some(0..=0x1f) => return Err(self.error("a control character in a string must be escaped")),
                Some(_) => self.at += 1,
                None => return Err(self.error("it ends within a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        self.at += 1;
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.error("unknown escape in a string")),
        };
        self.at += 1;
        Ok(character)
    }

    /// `\uXXXX`, or two of them as a surrogate pair (RFC 8259, section 7).
    fn unicode(&mut self) -> Result<char> {
        let first = self.hex4()?;
        let code = match first {
            0xd800..=0xdbff if self.text.get(self.at..).is_some_and(|rest| rest.starts_with("\\u")) => {
                self.at += 1;
                let second = self.hex4()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(self.error("a lone surrogate in a string"));
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.error("a lone surrogate in a string"))
    }

    fn hex4(&mut self) -> Result<u32> {
        self.at += 1;
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.error("expected four hex digits after \\u"))?;
            self.at += 1;
        }
        Ok(code)
    }
}

/// The keys of one object so far: a few are compared, many are hashed.
#[derive(Default)]
struct Seen<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Seen<'a> {
    const FEW: usize = 16;

    fn insert(&mut self, key: Cow<'a, str>) -> bool {
        if self.many.is_empty() {
            if self.few.contains(&key) {
                return false;
            }
            self.few.push(key);
            if self.few.len() > Self::FEW {
                self.many.extend(self.few.drain(..));
            }
            return true;
        }
        self.many.insert(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &[u8]) -> String {
        let error = Document::parse(text, DEPTH_MAX).unwrap_err();
        assert_eq!(error.code(), "bad_json");
        error.to_string()
    }

    #[test]
    fn bytes_are_kept_as_received() {
        for text in [" {\"b\":1,\"a\":2}\n", "1e999", "-0.0E-0", "123456789012345678901234567890", "\"\\u00e4\"", "[]"]
        {
            assert_eq!(Document::parse(text.as_bytes(), DEPTH_MAX).unwrap().bytes(), text.as_bytes());
        }
    }

    #[test]
    fn nothing_is_repaired() {
        assert!(refused(b"{\"a\":1,\"\\u0061\":2}").contains("same key twice"));
        assert!(refused(b"\"\xff\"").contains("UTF-8"));
        assert!(refused(b"\"\\ud800\"").contains("surrogate"));
        assert!(refused(b"\"\\ud800\\u0041\"").contains("surrogate"));
        assert!(refused(b"\"\\udc00\"").contains("surrogate"));
        assert!(refused(b"1 2").contains("after the end"));
        assert!(refused(b"").contains("ends"));
        for bad in [
            "NaN",
            "Infinity",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "'a'",
            "tru",
            "\"\t\"",
            "\u{feff}1",
        ] {
            refused(bad.as_bytes());
        }
    }

    #[test]
    fn depth_has_a_limit_and_bombs_are_cheap() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(Document::parse(&nested(DEPTH_MAX), DEPTH_MAX).is_ok());
        assert!(refused(&nested(DEPTH_MAX + 1)).contains("128 levels"));
        assert!(refused(&vec![b'['; 1 << 20]).contains("128 levels"));
        assert!(Document::parse(&nested(DEPTH_MAX_CEILING), usize::MAX).unwrap().to_value().is_ok());
    }

    #[test]
    fn many_keys_are_still_compared() {
        let members: Vec<_> = (0..100).map(|n| format!("\"k{n}\":{n}")).collect();
        assert!(Document::parse(format!("{{{}}}", members.join(",")).as_bytes(), DEPTH_MAX).is_ok());
        refused(format!("{{{},\"k3\":0}}", members.join(",")).as_bytes());
    }

    #[test]
    fn members_keep_their_bytes() {
        let members = parse_members(b" {\"a\": { \"x\":1.0 } ,\"\\u0062\":[1 ,2]}", DEPTH_MAX).unwrap();
        let pairs: Vec<_> = members.iter().map(|(key, document)| (key.as_str(), document.bytes().as_ref())).collect();
        assert_eq!(pairs, [("a", &b"{ \"x\":1.0 }"[..]), ("b", &b"[1 ,2]"[..])]);
        assert!(parse_members(b"[1]", DEPTH_MAX).is_err());
        assert!(parse_members(b"{\"a\":1,\"a\":2}", DEPTH_MAX).is_err());
        assert!(parse_members(b"{}", DEPTH_MAX).unwrap().is_empty());
    }

    #[test]
    fn numbers_become_what_a_validator_can_compare() {
        let value =
            Document::parse(b"[1e999,-1e999,18446744073709551615,-3,2.5]", DEPTH_MAX).unwrap().to_value().unwrap();
        assert_eq!(value, serde_json::json!([f64::MAX, f64::MIN, u64::MAX, -3, 2.5]));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_valid_documents(value in json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            prop_assert_eq!(Document::parse(text.as_bytes(), DEPTH_MAX).unwrap().to_value().unwrap(), value);
        }

        #[test]
        fn accepts_nothing_that_serde_json_refuses(bytes in "[\\[\\]{},:\"\\\\u0-9a-f.eE+\\- tnrls\u{0}-\u{20}ä]{0,24}") {
            if Document::parse(bytes.as_bytes(), DEPTH_MAX).is_ok() {
                let theirs = serde_json::from_str::<Value>(&bytes);
                prop_assert!(theirs.is_ok() || theirs.unwrap_err().to_string().contains("number out of range"));
            }
        }
    }
}
