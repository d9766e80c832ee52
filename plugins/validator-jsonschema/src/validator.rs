//! The validator.

use std::sync::Arc;

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use delta_core::document::Document;
use delta_core::error::Violation;
use delta_core::name::SchemaId;
use delta_core::validator::{CompiledSchema, SCHEMA_BASE, SchemaLookup, Validator};
use delta_core::{Error, Result};

/// JSON Schema.
#[derive(Debug)]
pub struct JsonSchema;

struct Compiled {
    schemas: Schemas,
    index: SchemaIndex,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compiled")
    }
}

impl Validator for JsonSchema {
    fn compile(&self, id: &SchemaId, source: &Document, _: &SchemaLookup<'_>) -> Result<Arc<dyn CompiledSchema>> {
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V7);
        compiler.enable_format_assertions();
        compiler.use_loader(Box::new(boon::SchemeUrlLoader::new()));
        let url = format!("{SCHEMA_BASE}{id}");
        let wrong = |error: &dyn std::fmt::Display| Error::invalid("invalid_schema", format!("schema {id}: {error:#}"));
        compiler.add_resource(&url, source.to_value()?).map_err(|error| wrong(&error))?;
        let mut schemas = Schemas::new();
        let index = compiler.compile(&url, &mut schemas).map_err(|error| wrong(&error))?;
        Ok(Arc::new(Compiled { schemas, index }))
    }
}

impl CompiledSchema for Compiled {
    fn check(&self, document: &Document) -> Result<Vec<Violation>> {
        let value = document.to_value()?;
        match self.schemas.validate(&value, self.index) {
            Ok(()) => Ok(Vec::new()),
            Err(error) => {
                let mut violations = Vec::new();
                collect(&error, &mut violations);
                Ok(violations)
            }
        }
    }
}

fn collect(error: &boon::ValidationError<'_, '_>, violations: &mut Vec<Violation>) {
    if error.causes.is_empty() {
        let keyword = format!("{:?}", error.kind).split([' ', '{', '(']).next().unwrap_or_default().to_lowercase();
        violations.push(Violation {
            pointer: error.instance_location.to_string(),
            schema_pointer: error.schema_url.to_owned(),
            keyword,
            message: format!("{}", error.kind),
        });
    }
    error.causes.iter().for_each(|cause| collect(cause, violations));
}
