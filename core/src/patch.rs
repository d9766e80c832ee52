//! Changes to a part of a document: JSON Merge Patch (RFC 7396) and JSON Patch (RFC 6902).
//!
//! What a patch does not touch keeps its bytes: numbers of any size as written, and the order of keys. Nothing is half
//! applied. The surprise is the limits: a short patch that copies a document into itself grows it without end.

use bytes::Bytes;

use crate::document::tree::{Member, Node, Object, Work, too_many_bytes};
use crate::document::{DEPTH_MAX, Document};
use crate::error::{Error, Result};

#[cfg(test)]
mod laws;
mod operations;

/// The media type of [`Patch::Merge`].
pub const MERGE_PATCH: &str = "application/merge-patch+json";
/// The media type of [`Patch::Operations`].
pub const JSON_PATCH: &str = "application/json-patch+json";

/// How often each byte of the largest result may be read, on average: twice at every level of the deepest document.
const WORK_PER_BYTE: usize = 2 * DEPTH_MAX;

/// How much deeper than its values a JSON Patch nests: a list of operations.
pub const OPERATIONS_DEPTH: usize = 2;

/// What a patch may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatchLimits {
    /// The largest result, in bytes; no operation may pass it in between either.
    pub bytes_max: usize,
    /// The deepest nesting of the result.
    pub depth_max: usize,
    /// The most operations of one JSON Patch.
    pub operations_max: usize,
}

impl Default for PatchLimits {
    fn default() -> Self {
        Self { bytes_max: 1 << 20, depth_max: DEPTH_MAX, operations_max: 1_000 }
    }
}

/// A change to a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patch {
    /// What the document shall hold (RFC 7396, `application/merge-patch+json`): members replace members, `null` removes.
    Merge(Document),
    /// A list of operations (RFC 6902, `application/json-patch+json`), applied together or not at all.
    Operations(Document),
}

impl Patch {
    /// The document with the change applied.
    ///
    /// * 400 `bad_patch`: the patch itself is malformed; `invalid_pointer`: one of its paths is.
    /// * 409 `patch_failed`: an operation names a place that this document does not have.
    /// * 409 `patch_test_failed`: a `test` does not hold.
    /// * 413 `too_large`: a limit is passed.
    pub fn apply(&self, document: &Document, limits: &PatchLimits) -> Result<Document> {
        let mut work = Work::new(limits.bytes_max.saturating_mul(WORK_PER_BYTE));
        let mut root = Node::Text(document.text()?);
        match self {
            Self::Merge(patch) => merge(&mut root, Node::Text(patch.text()?), &mut work)?,
            Self::Operations(patch) => operations::apply(&mut root, patch, limits, &mut work)?,
        }
        let (bytes, depth) = root.measure(&mut work)?;
        if bytes > limits.bytes_max {
            return Err(too_many_bytes(limits.bytes_max));
        }
        if depth > limits.depth_max {
            return Err(too_deep(limits.depth_max));
        }
        let mut text = String::with_capacity(bytes);
        root.print(&mut text, limits.bytes_max)?;
        Ok(Document::trusted(Bytes::from(text)))
    }
}

fn too_deep(depth_max: usize) -> Error {
    Error::too_large(format!("the patched document would be nested deeper than {depth_max} levels"))
}

/// RFC 7396, section 2.
fn merge<'a>(target: &mut Node<'a>, mut patch: Node<'a>, work: &mut Work) -> Result<()> {
    if patch.first_byte() != b'{' {
        *target = patch;
        return Ok(());
    }
    if target.first_byte() != b'{' {
        *target = Node::Object(Box::default());
    }
    patch.open(work)?;
    target.open(work)?;
    if let (Node::Object(target), Node::Object(patch)) = (target, patch) {
        for member in patch.into_members() {
            merge_member(target, member, work)?;
        }
    }
    Ok(())
}

fn merge_member<'a>(target: &mut Object<'a>, member: Member<'a>, work: &mut Work) -> Result<()> {
    if member.value.first_byte() == b'n' {
        target.remove(&member.key);
        return Ok(());
    }
    if let Some(old) = target.get_mut(&member.key) {
        return merge(old, member.value, work);
    }
    // Also where nothing was: a null within what is new removes nothing, and is not kept.
    let mut value = Node::Text("null");
    merge(&mut value, member.value, work)?;
    target.insert(Member { value, ..member });
    Ok(())
}

#[cfg(test)]
#[path = "patch_tests.rs"]
mod tests;
