//! The validator: a schema is followed and bounded here, then compiled by boon; a check is measured, then run by boon.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use boon::{CompileError, Compiler, Draft, SchemaIndex, Schemas, UrlLoader};
use delta_core::document::Document;
use delta_core::error::Violation;
use delta_core::name::SchemaId;
use delta_core::validator::{CompiledSchema, SCHEMA_BASE, SchemaLookup, Validator};
use delta_core::{Error, Result};
use serde_json::{Value, json};

use crate::config::Config;
use crate::graph::{self, Graph, Text, refusal};
use crate::message;
use crate::meter::{Measure, Meter, Stop};
use crate::node::NodeId;
use crate::report;
use crate::stack::{self, INLINE_LEVELS, LEVELS_MAX};

/// Where boon finds what asks for a bare answer; no schema can be called so.
const VERDICT: &str = "delta-verdict:///";
/// The most memory that described violations may need, in bytes; past it a document is refused without a list.
const ERROR_BYTES_MAX: u64 = 128 << 20;
/// The most reasons that the error of a refused schema gives.
const NAMED_MAX: usize = 3;

/// JSON Schema by boon.
#[derive(Debug, Default)]
pub struct JsonSchema {
    limits: Config,
}

impl JsonSchema {
    /// A validator with these limits.
    pub fn new(limits: Config) -> Result<Self> {
        limits.check()?;
        Ok(Self { limits })
    }
}

/// A schema as boon compiled it, with what is known about it before a check.
pub(crate) struct Compiled {
    address: String,
    pub(crate) graph: Graph,
    pub(crate) schemas: Schemas,
    /// Lists what is wrong.
    list: SchemaIndex,
    /// Fails if the document is valid; asked so, boon stops at the first error and describes none.
    verdict: SchemaIndex,
    pub(crate) conditions: HashMap<NodeId, SchemaIndex>,
    steps_max: u64,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Compiled({}, {} subschemas)", self.address, self.graph.nodes.len())
    }
}

impl Validator for JsonSchema {
    fn compile(&self, id: &SchemaId, source: &Document, lookup: &SchemaLookup<'_>) -> Result<Arc<dyn CompiledSchema>> {
        Ok(Arc::new(self.compiled(id, source, lookup)?))
    }
}

impl JsonSchema {
    pub(crate) fn compiled(&self, id: &SchemaId, source: &Document, lookup: &SchemaLookup<'_>) -> Result<Compiled> {
        let address = format!("{SCHEMA_BASE}{id}");
        let (size, most) = (source.bytes().len(), self.limits.schema_bytes_max);
        if size > most {
            let problem = format!("has {size} bytes, more than the limit of {most} (schema_bytes_max)");
            return Err(refusal(&address, "", &problem));
        }
        let value = source.to_value().map_err(|error| refusal(&address, "", &error.to_string()))?;
        let (graph, texts) = stack::guarded(|| graph::build(id, value, lookup, &self.limits))?;
        let steps_max = self.limits.check_steps_max;
        stack::with_levels(LEVELS_MAX, move || {
            let mut compiler = Compiler::new();
            let mut schemas = Schemas::new();
            let list = compile(&mut compiler, &mut schemas, &address, texts)?;
            if !graph.meta && schemas.size() > graph.nodes.len() {
                return Err(refusal(&address, "", "cannot be bounded: it reaches more than its references say"));
            }
            let wrong = |error| refused(&address, error);
            let verdict = compiler.compile(VERDICT, &mut schemas).map_err(wrong)?;
            let mut conditions = HashMap::new();
            for (node, place) in graph.conditions() {
                conditions.insert(node, compiler.compile(&place, &mut schemas).map_err(wrong)?);
            }
            Ok(Compiled { address, graph, schemas, list, verdict, conditions, steps_max })
        })
    }
}

/// Has boon compile a schema out of texts; it gets no other.
fn compile(compiler: &mut Compiler, schemas: &mut Schemas, address: &str, texts: Vec<Text>) -> Result<SchemaIndex> {
    compiler.set_default_draft(Draft::V7);
    compiler.enable_format_assertions();
    compiler.use_loader(Box::new(Nothing));
    let wrong = |error| refused(address, error);
    for (url, value) in texts {
        compiler.add_resource(&url, value).map_err(wrong)?;
    }
    compiler.add_resource(VERDICT, json!({"not": {"$ref": address}})).map_err(wrong)?;
    compiler.compile(address, schemas).map_err(wrong)
}

/// Loads nothing: whatever may be loaded was given before.
struct Nothing;

impl UrlLoader for Nothing {
    fn load(&self, url: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err(format!("{url} is not of the store").into())
    }
}

/// boon's refusal of a schema.
fn refused(address: &str, error: CompileError) -> Error {
    let (url, src) = match error {
        CompileError::ValidationError { url, src } => (url, src),
        CompileError::LoadUrlError { url, .. } => {
            return refusal(
                address,
                "",
                &format!("refers to {}, which is no known meta-schema", message::quoted(&url)),
            );
        }
        other => return refusal(address, "", &format!("does not compile: {other}")),
    };
    let (text, start) = report::place(&url);
    let violations = report::violations(&src, &Graph::default(), "", &Value::Null, Box::new(Vec::new));
    let pointer = violations.first().map_or("", |violation| violation.pointer.as_str());
    let there = violations.iter().filter(|violation| violation.pointer == pointer);
    let shown: Vec<_> = there.take(NAMED_MAX).map(|violation| violation.message.as_str()).collect();
    refusal(&text, &format!("{start}{pointer}"), &shown.join("; "))
}

impl CompiledSchema for Compiled {
    fn check(&self, document: &Document) -> Result<Vec<Violation>> {
        let value = document.to_value()?;
        match stack::guarded(|| Ok(self.measure(&value, INLINE_LEVELS)))? {
            Ok(measure) => stack::guarded(|| self.run(&value, &measure)),
            Err(Stop::Levels) => stack::with_levels(LEVELS_MAX, || {
                let measure = self.measure(&value, LEVELS_MAX).map_err(|stop| self.stopped(stop))?;
                self.run(&value, &measure)
            }),
            Err(stop) => Err(self.stopped(stop)),
        }
    }
}

impl Compiled {
    pub(crate) fn measure(&self, document: &Value, levels_max: usize) -> Result<Measure, Stop> {
        Meter::new(self, self.steps_max, levels_max).measure(document)
    }

    fn stopped(&self, stop: Stop) -> Error {
        let schema = self.address.strip_prefix(SCHEMA_BASE).unwrap_or(&self.address);
        match stop {
            Stop::Steps => Error::too_large(format!(
                "checking this document against schema {schema} takes more than the limit of {} steps \
                 (check_steps_max); make the document smaller, or its schema simpler",
                self.steps_max
            )),
            Stop::Levels => Error::too_large(format!(
                "checking this document against schema {schema} recurses deeper than the limit of {LEVELS_MAX} levels"
            )),
            Stop::Loop => refusal(&self.address, "", "applies itself to the same value of this document without end"),
        }
    }

    /// Asks whether, and only if not, what.
    fn run(&self, document: &Value, measure: &Measure) -> Result<Vec<Violation>> {
        if self.schemas.validate(document, self.verdict).is_err() {
            return Ok(Vec::new());
        }
        if measure.error_bytes > ERROR_BYTES_MAX {
            return Ok(vec![unlisted()]);
        }
        match self.schemas.validate(document, self.list) {
            Ok(()) => Err(Error::internal("the schema validator contradicts itself")),
            Err(failure) => {
                let named = || Meter::new(self, self.steps_max, LEVELS_MAX).named(document).unwrap_or_default();
                Ok(report::violations(&failure, &self.graph, &self.address, document, Box::new(named)))
            }
        }
    }
}

/// Stands for violations that would be too many to describe.
fn unlisted() -> Violation {
    Violation {
        pointer: String::new(),
        schema_pointer: String::new(),
        keyword: String::new(),
        message: "does not match; the document is too large to list where".into(),
    }
}
