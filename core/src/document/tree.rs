//! A document opened only where somebody looks, so that what nobody touches keeps its bytes.
//!
//! Everything here trusts its text: it was checked when the document was parsed. The surprise is [`Work`]: a short patch
//! can ask for much opening and copying, so each step is paid for out of a budget.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::document::DEPTH_MAX_CEILING;
use crate::document::parser::Parser;
use crate::error::{Error, Result};
use crate::pointer::index;

/// What opening, copying or moving one member or item costs, in bytes read.
const PART_WORK: usize = 64;

/// How much may still be done, in bytes read.
#[derive(Debug)]
pub(crate) struct Work(usize);

impl Work {
    pub(crate) fn new(units: usize) -> Self {
        Self(units)
    }

    pub(crate) fn spend(&mut self, units: usize) -> Result<()> {
        let left = self.0.checked_sub(units);
        self.0 =
            left.ok_or_else(|| Error::too_large("the patch asks for too much work: send it in smaller patches"))?;
        Ok(())
    }
}

/// One JSON value: its text, or its parts once somebody looked inside.
#[derive(Debug, Clone)]
pub(crate) enum Node<'a> {
    Text(&'a str),
    Array(Vec<Node<'a>>),
    Object(Box<Object<'a>>),
}

/// An object whose members keep their order and their spelling.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object<'a> {
    /// A removed member leaves its place empty.
    members: Vec<Option<Member<'a>>>,
    places: HashMap<Cow<'a, str>, usize>,
}

/// One member of an object.
#[derive(Debug, Clone)]
pub(crate) struct Member<'a> {
    pub(crate) key: Cow<'a, str>,
    /// The key as JSON, quotes included.
    pub(crate) spelling: Cow<'a, str>,
    pub(crate) value: Node<'a>,
}

impl<'a> Object<'a> {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node<'a>> {
        let member = self.members.get(*self.places.get(key)?)?.as_ref()?;
        Some(&member.value)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node<'a>> {
        let member = self.members.get_mut(*self.places.get(key)?)?.as_mut()?;
        Some(&mut member.value)
    }

    /// Puts a value where its key was, or at the end, and returns what it replaced.
    pub(crate) fn insert(&mut self, member: Member<'a>) -> Option<Node<'a>> {
        if let Some(old) = self.get_mut(&member.key) {
            return Some(std::mem::replace(old, member.value));
        }
        self.places.insert(member.key.clone(), self.members.len());
        self.members.push(Some(member));
        None
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Node<'a>> {
        let place = self.places.remove(key)?;
        Some(self.members.get_mut(place)?.take()?.value)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Member<'a>> {
        self.members.iter().flatten()
    }

    pub(crate) fn into_members(self) -> impl Iterator<Item = Member<'a>> {
        self.members.into_iter().flatten()
    }
}

impl<'a> Node<'a> {
    /// `{`, `[`, `"` or the first byte of another value.
    pub(crate) fn first_byte(&self) -> u8 {
        match self {
            Self::Text(text) => text.trim_start().bytes().next().unwrap_or_default(),
            Self::Array(_) => b'[',
            Self::Object(_) => b'{',
        }
    }

    /// The text of a string, decoded; other values have none.
    pub(crate) fn string(&self) -> Option<Result<Cow<'a, str>>> {
        match self {
            Self::Text(text) if self.first_byte() == b'"' => Some(parser(text.trim_start()).string()),
            _ => None,
        }
    }

    /// Opens an array or object one level; other values stay as they are.
    pub(crate) fn open(&mut self, work: &mut Work) -> Result<&mut Self> {
        if let Self::Text(text) = *self {
            match self.first_byte() {
                b'[' => *self = Self::Array(open_array(text, work)?),
                b'{' => *self = Self::Object(Box::new(open_object(text, work)?)),
                _ => {}
            }
        }
        Ok(self)
    }

    /// The part that the steps lead to.
    pub(crate) fn find<'n>(&'n mut self, steps: &[String], work: &mut Work) -> Result<Option<&'n mut Self>> {
        let mut node = self;
        for step in steps {
            let child = match node.open(work)? {
                Self::Text(_) => None,
                Self::Array(items) => index(step).and_then(|index| items.get_mut(index)),
                Self::Object(object) => object.get_mut(step),
            };
            match child {
                Some(child) => node = child,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    /// How many bytes [`Node::print`] writes, and how deep arrays and objects nest in them.
    pub(crate) fn measure(&self, work: &mut Work) -> Result<(usize, usize)> {
        let (mut bytes, mut deepest, mut parts) = (2_usize, 0, 0);
        let mut add = |work: &mut Work, key: usize, value: &Self| -> Result<()> {
            work.spend(PART_WORK)?;
            let (size, depth) = value.measure(work)?;
            // A comma or the bracket's place, and a colon behind a key.
            bytes = bytes.saturating_add(size).saturating_add(key).saturating_add(usize::from(parts > 0));
            deepest = depth.max(deepest);
            parts += 1;
            Ok(())
        };
        match self {
            Self::Text(text) => {
                work.spend(text.len())?;
                return Ok((text.len(), depth(text)));
            }
            Self::Array(items) => items.iter().try_for_each(|item| add(work, 0, item))?,
            Self::Object(object) => {
                object.members().try_for_each(|member| add(work, member.spelling.len() + 1, &member.value))?
            }
        }
        Ok((bytes, deepest + 1))
    }

    /// Writes the value as JSON: opened parts without white space, the rest as it came. More than `bytes_max` bytes are
    /// not written.
    pub(crate) fn print(&self, out: &mut String, bytes_max: usize) -> Result<()> {
        match self {
            Self::Text(text) => out.push_str(text),
            Self::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    item.print(out, bytes_max)?;
                }
                out.push(']');
            }
            Self::Object(object) => {
                out.push('{');
                for (at, member) in object.members().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    out.push_str(&member.spelling);
                    out.push(':');
                    member.value.print(out, bytes_max)?;
                }
                out.push('}');
            }
        }
        if out.len() > bytes_max { Err(too_many_bytes(bytes_max)) } else { Ok(()) }
    }
}

pub(crate) fn too_many_bytes(bytes_max: usize) -> Error {
    Error::too_large(format!("the patched document would be larger than {bytes_max} bytes"))
}

/// The part of a checked text that the steps lead to, without opening anything else.
pub(crate) fn find<'a>(text: &'a str, steps: &[String]) -> Result<Option<&'a str>> {
    if steps.is_empty() {
        return Ok(Some(text));
    }
    let mut parser = parser(text);
    parser.space();
    for step in steps {
        let found = match parser.peek() {
            Some(b'[') => index(step).is_some_and(|index| to_item(&mut parser, index)),
            Some(b'{') => to_member(&mut parser, step)?,
            _ => false,
        };
        if !found {
            return Ok(None);
        }
    }
    Ok(Some(parser.skip()))
}

/// Moves from `[` to an item.
fn to_item(parser: &mut Parser<'_>, index: usize) -> bool {
    for _ in 0..index {
        if !next(parser) {
            return false;
        }
        parser.skip();
    }
    next(parser)
}

/// Moves from `{` to the value of a member.
fn to_member(parser: &mut Parser<'_>, wanted: &str) -> Result<bool> {
    while next(parser) {
        let found = key(parser)?.0 == wanted;
        if found {
            return Ok(true);
        }
        parser.skip();
    }
    Ok(false)
}

/// Moves from a bracket or the end of a part to the next part, if there is one.
fn next(parser: &mut Parser<'_>) -> bool {
    parser.space();
    if let Some(b'[' | b'{' | b',') = parser.peek() {
        parser.at += 1;
        parser.space();
    }
    !matches!(parser.peek(), None | Some(b']' | b'}'))
}

/// A key, decoded and as it is spelt, and the way to its value.
fn key<'a>(parser: &mut Parser<'a>) -> Result<(Cow<'a, str>, &'a str)> {
    let start = parser.at;
    let key = parser.string()?;
    let spelling = parser.text.get(start..parser.at).unwrap_or_default();
    parser.space();
    parser.take(b':', "expected ':'")?;
    parser.space();
    Ok((key, spelling))
}

fn open_array<'a>(text: &'a str, work: &mut Work) -> Result<Vec<Node<'a>>> {
    work.spend(text.len())?;
    let mut parser = parser(text);
    parser.space();
    let mut items = Vec::new();
    while next(&mut parser) {
        work.spend(PART_WORK)?;
        items.push(Node::Text(parser.skip()));
    }
    Ok(items)
}

fn open_object<'a>(text: &'a str, work: &mut Work) -> Result<Object<'a>> {
    work.spend(text.len())?;
    let mut parser = parser(text);
    parser.space();
    let mut object = Object::default();
    while next(&mut parser) {
        work.spend(PART_WORK)?;
        let (key, spelling) = key(&mut parser)?;
        object.insert(Member { key, spelling: spelling.into(), value: Node::Text(parser.skip()) });
    }
    Ok(object)
}

/// How deep arrays and objects nest in a checked text.
fn depth(text: &str) -> usize {
    let (mut open, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                open += 1;
                deepest = deepest.max(open);
            }
            b']' | b'}' if !quoted => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

pub(super) fn parser(text: &str) -> Parser<'_> {
    Parser::new(text, DEPTH_MAX_CEILING)
}
