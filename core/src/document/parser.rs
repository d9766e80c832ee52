//! A strict parser of JSON (RFC 8259) that keeps its place, and builds a tree only where one is wanted.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::{Map, Number, Value};

use crate::document::DEPTH_MAX_CEILING;
use crate::error::{Error, Result};

/// What a parse leaves behind: nothing, or a tree.
pub(super) trait Build: Sized {
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

/// A parser and its place in a text.
pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    depth_left: usize,
    depth_max: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, depth_max: usize) -> Self {
        let depth_max = depth_max.min(DEPTH_MAX_CEILING + 1);
        Self { text, bytes: text.as_bytes(), at: 0, depth_left: depth_max, depth_max }
    }

    pub(super) fn error(&self, what: &str) -> Error {
        Error::invalid("bad_json", format!("not valid JSON at byte {}: {what}", self.at))
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    pub(super) fn take(&mut self, byte: u8, what: &str) -> Result<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.error(what))
    }

    pub(super) fn document<V: Build>(&mut self) -> Result<V> {
        self.space();
        let value = self.value()?;
        self.end()?;
        Ok(value)
    }

    pub(super) fn end(&mut self) -> Result<()> {
        self.space();
        if self.at < self.bytes.len() {
            return Err(self.error("bytes after the end of the document"));
        }
        Ok(())
    }

    /// Passes over one value of a text that was checked before, without checking it again.
    pub(super) fn skip(&mut self) -> &'a str {
        let start = self.at;
        let mut open = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'}' | b']' | b',' | b' ' | b'\t' | b'\n' | b'\r' if open == 0 => break,
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                b'"' => self.skip_string(),
                _ => {}
            }
            self.at += 1;
            if open == 0 && matches!(byte, b'}' | b']' | b'"') {
                break;
            }
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Moves from the quote that opens a string to the one that closes it.
    fn skip_string(&mut self) {
        let mut escaped = false;
        for byte in self.bytes.iter().skip(self.at + 1) {
            self.at += 1;
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return,
                _ => {}
            }
        }
    }

    pub(super) fn value<V: Build>(&mut self) -> Result<V> {
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
        let mut items = Vec::new();
        self.elements(|parser| {
            items.push(parser.value()?);
            Ok(())
        })?;
        Ok(V::array(items))
    }

    pub(super) fn elements(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.enter()?;
        if self.peek() != Some(b']') {
            loop {
                self.space();
                element(self)?;
                self.space();
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
            }
        }
        self.take(b']', "expected ',' or ']'")?;
        self.depth_left += 1;
        Ok(())
    }

    pub(super) fn object(&mut self, mut member: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
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

    pub(super) fn string(&mut self) -> Result<Cow<'a, str>> {
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
