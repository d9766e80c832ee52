//! JSON Patch (RFC 6902): operations one after the other, each on what the one before left.

use std::fmt;

use crate::document::Document;
use crate::document::equal::equal;
use crate::document::tree::{Member, Node, Work, too_many_bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::patch::{PatchLimits, too_deep};
use crate::pointer::{Pointer, index};

/// What moving one item of an array aside costs, in bytes read.
const SHIFT_WORK: usize = 4;
/// So much of a path an error shows.
const PATH_SHOWN_CHARS_MAX: usize = 100;

/// One operation.
enum Operation<'a> {
    Add(Pointer, Node<'a>),
    Remove(Pointer),
    Replace(Pointer, Node<'a>),
    Move { from: Pointer, path: Pointer },
    Copy { from: Pointer, path: Pointer },
    Test(Pointer, Node<'a>),
}

/// Applies every operation of a JSON Patch, or fails with the first that cannot be applied.
pub(super) fn apply<'a>(root: &mut Node<'a>, patch: &'a Document, limits: &PatchLimits, work: &mut Work) -> Result<()> {
    let mut operations = Node::Text(patch.text()?);
    if operations.first_byte() != b'[' {
        return Err(malformed("a JSON patch is an array of operations (RFC 6902)"));
    }
    operations.open(work)?;
    let Node::Array(operations) = operations else { return Ok(()) };
    if operations.len() > limits.operations_max {
        let message =
            format!("a patch may have at most {} operations, and has {}", limits.operations_max, operations.len());
        return Err(Error::too_large(message));
    }
    let mut target = Target { bytes: root.measure(work)?.0, root, limits, work };
    for (at, operation) in operations.into_iter().enumerate() {
        let number = at + 1;
        let operation = Operation::read(operation, target.work).map_err(|error| error.context(Place(number, None)))?;
        let path = operation.path().clone();
        target.apply(operation).map_err(|error| error.context(Place(number, Some(&path))))?;
    }
    Ok(())
}

/// Which operation an error is about: its number, counted from 1, and its path.
struct Place<'p>(usize, Option<&'p Pointer>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operation {}", self.0)?;
        let Some(path) = self.1 else { return Ok(()) };
        let path = path.to_string();
        let shown: String = path.chars().take(PATH_SHOWN_CHARS_MAX).collect();
        write!(f, " ({shown:?}{})", if shown.len() < path.len() { "…" } else { "" })
    }
}

fn malformed(message: impl Into<String>) -> Error {
    Error::invalid("bad_patch", message)
}

fn failed(message: &str) -> Error {
    Error::conflict(message).with_code("patch_failed")
}

impl<'a> Operation<'a> {
    fn read(mut node: Node<'a>, work: &mut Work) -> Result<Self> {
        if node.first_byte() != b'{' {
            return Err(malformed("an operation is an object"));
        }
        node.open(work)?;
        let Node::Object(mut object) = node else { return Err(malformed("an operation is an object")) };
        let name = text(object.remove("op"), "op")?;
        let path = pointer(object.remove("path"), "path")?;
        let value = object.remove("value");
        let value = || value.ok_or_else(|| malformed("\"value\" is missing"));
        let mut from = || pointer(object.remove("from"), "from");
        Ok(match name.as_str() {
            "add" => Self::Add(path, value()?),
            "remove" => Self::Remove(path),
            "replace" => Self::Replace(path, value()?),
            "move" => Self::Move { from: from()?, path },
            "copy" => Self::Copy { from: from()?, path },
            "test" => Self::Test(path, value()?),
            _ => return Err(malformed("\"op\" must be add, remove, replace, move, copy or test")),
        })
    }

    fn path(&self) -> &Pointer {
        match self {
            Self::Add(path, _) | Self::Remove(path) | Self::Replace(path, _) | Self::Test(path, _) => path,
            Self::Move { path, .. } | Self::Copy { path, .. } => path,
        }
    }
}

fn text(node: Option<Node<'_>>, name: &str) -> Result<String> {
    let text = node.as_ref().and_then(Node::string).transpose()?;
    text.map(Into::into).ok_or_else(|| malformed(format!("{name:?} is missing, or no string")))
}

fn pointer(node: Option<Node<'_>>, name: &str) -> Result<Pointer> {
    Pointer::parse(&text(node, name)?).map_err(|error| error.context(format!("{name:?}")))
}

/// The document while it is changed.
struct Target<'t, 'a> {
    root: &'t mut Node<'a>,
    /// What it would measure now, at most.
    bytes: usize,
    limits: &'t PatchLimits,
    work: &'t mut Work,
}

impl<'a> Target<'_, 'a> {
    fn apply(&mut self, operation: Operation<'a>) -> Result<()> {
        match operation {
            Operation::Add(path, value) => self.add(&path, value)?,
            Operation::Remove(path) => return self.remove(&path).map(drop),
            Operation::Replace(path, value) => self.replace(&path, value)?,
            Operation::Move { from, path } => self.relocate(&from, &path)?,
            Operation::Copy { from, path } => self.copy(&from, &path)?,
            Operation::Test(path, value) => return self.test(&path, &value),
        }
        self.settle()
    }

    fn add(&mut self, path: &Pointer, value: Node<'a>) -> Result<()> {
        let Some((last, parent)) = path.steps().split_last() else { return self.replace(path, value) };
        let spelling =
            serde_json::to_string(last).map_err(|error| Error::internal("a key has no spelling").with_source(error))?;
        // A key brings a colon and a comma.
        self.grow(path, &value, spelling.len().saturating_add(2))?;
        let parent = self.root.find(parent, self.work)?.ok_or_else(|| failed("its parent does not exist"))?;
        match parent.open(self.work)? {
            Node::Array(items) => {
                let at = if last == "-" { Some(items.len()) } else { index(last) };
                let at = at.filter(|at| *at <= items.len()).ok_or_else(|| failed("the array has no such index"))?;
                self.work.spend((items.len() - at).saturating_mul(SHIFT_WORK))?;
                items.insert(at, value);
            }
            Node::Object(object) => {
                let member = Member { key: last.clone().into(), spelling: spelling.into(), value };
                if let Some(old) = object.insert(member) {
                    self.bytes = self.bytes.saturating_sub(old.measure(self.work)?.0);
                }
            }
            Node::Text(_) => return Err(failed("its parent is neither an array nor an object")),
        }
        Ok(())
    }

    fn remove(&mut self, path: &Pointer) -> Result<Node<'a>> {
        let Some((last, parent)) = path.steps().split_last() else {
            return Err(malformed("the whole document cannot be removed or moved: delete the entity instead"));
        };
        let parent = self.root.find(parent, self.work)?.ok_or_else(missing)?;
        let removed = match parent.open(self.work)? {
            Node::Array(items) => {
                let at = index(last).filter(|at| *at < items.len()).ok_or_else(missing)?;
                self.work.spend((items.len() - at).saturating_mul(SHIFT_WORK))?;
                items.remove(at)
            }
            Node::Object(object) => object.remove(last).ok_or_else(missing)?,
            Node::Text(_) => return Err(missing()),
        };
        self.bytes = self.bytes.saturating_sub(removed.measure(self.work)?.0);
        Ok(removed)
    }

    fn replace(&mut self, path: &Pointer, value: Node<'a>) -> Result<()> {
        let old = self.root.find(path.steps(), self.work)?.ok_or_else(missing)?;
        let old = std::mem::replace(old, Node::Text("0"));
        self.bytes = self.bytes.saturating_sub(old.measure(self.work)?.0);
        self.grow(path, &value, 0)?;
        *self.root.find(path.steps(), self.work)?.ok_or_else(missing)? = value;
        Ok(())
    }

    fn relocate(&mut self, from: &Pointer, path: &Pointer) -> Result<()> {
        if from == path {
            return self.root.find(from.steps(), self.work)?.map(drop).ok_or_else(missing_source);
        }
        if path.steps().starts_with(from.steps()) {
            return Err(malformed("a value cannot be moved into itself"));
        }
        let value = self.remove(from).map_err(|error| error.context("\"from\""))?;
        self.add(path, value)
    }

    fn copy(&mut self, from: &Pointer, path: &Pointer) -> Result<()> {
        let value = self.root.find(from.steps(), self.work)?.ok_or_else(missing_source)?;
        // Paid for before it is done.
        value.measure(self.work)?;
        let value = value.clone();
        self.add(path, value)
    }

    fn test(&mut self, path: &Pointer, expected: &Node<'a>) -> Result<()> {
        let found = match self.root.find(path.steps(), self.work)? {
            Some(found) => equal(found, expected, self.work)?,
            None => false,
        };
        let error = || Error::new(ErrorKind::Conflict, "the test does not hold").with_code("patch_test_failed");
        if found { Ok(()) } else { Err(error()) }
    }

    /// Accounts for a value that is about to be put at `path`, with what its key takes.
    fn grow(&mut self, path: &Pointer, value: &Node<'a>, key: usize) -> Result<()> {
        let (bytes, depth) = value.measure(self.work)?;
        if path.steps().len().saturating_add(depth) > self.limits.depth_max {
            return Err(too_deep(self.limits.depth_max));
        }
        self.bytes = self.bytes.saturating_add(bytes).saturating_add(key);
        Ok(())
    }

    /// Refuses a document that an operation made too large.
    fn settle(&mut self) -> Result<()> {
        if self.bytes > self.limits.bytes_max {
            // The account is never too low, but white space and keys may be gone: look.
            self.bytes = self.root.measure(self.work)?.0;
        }
        if self.bytes > self.limits.bytes_max { Err(too_many_bytes(self.limits.bytes_max)) } else { Ok(()) }
    }
}

fn missing() -> Error {
    failed("it does not exist in the document")
}

fn missing_source() -> Error {
    failed("\"from\" does not exist in the document")
}
