//! The contract with a checker of documents.
//!
//! A validator compiles a schema once and checks many documents. It does no I/O, so it is not async: whatever a
//! schema refers to is asked from core, which keeps all schemas. It fails closed: what cannot be checked is refused.

use std::fmt::Debug;
use std::sync::Arc;

use crate::document::Document;
use crate::error::{Result, Violation};
use crate::name::SchemaId;

/// The base of every schema's address: a schema `chat.v1` is `delta:///chat.v1`.
pub const SCHEMA_BASE: &str = "delta:///";

/// Gives the other schemas of the store, or `None` where there is no such schema.
pub type SchemaLookup<'a> = dyn Fn(&SchemaId) -> Option<Document> + 'a;

/// Compiles schemas. Every sentence here is a test in [`crate::conformance::validator`].
pub trait Validator: Debug + Send + Sync + 'static {
    /// Compiles the schema `id`. `$ref` reaches other schemas of the store by `delta:///<id>` or relative to it, through
    /// `lookup`, and nothing else: no network, no file. A schema that does not compile is an error with the code
    /// `invalid_schema` that says where; one past a work limit is `invalid_schema` and names the limit. It never panics.
    fn compile(&self, id: &SchemaId, source: &Document, lookup: &SchemaLookup<'_>) -> Result<Arc<dyn CompiledSchema>>;
}

/// A schema that is ready to check documents.
pub trait CompiledSchema: Debug + Send + Sync + 'static {
    /// Every violation in a document, empty if it is valid, each with pointer, schema pointer, keyword and message; at
    /// most [`VIOLATIONS_MAX`]. A document whose check would pass a work limit is an error, never valid.
    fn check(&self, document: &Document) -> Result<Vec<Violation>>;
}

/// The most violations that one check reports: enough to fix a document, too few to flood a client.
pub const VIOLATIONS_MAX: usize = 100;
