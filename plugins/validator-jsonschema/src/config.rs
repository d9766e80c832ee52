//! The settings of this plug-in: limits only, each named in the error that states it.

use delta_core::{Error, Result};
use serde::Deserialize;

/// The deepest nesting of schemas that can be configured: they are followed by recursion, on the caller's stack.
const SCHEMA_DEPTH_CEILING: usize = 256;

/// The limits on schemas and on checks.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The largest schema, in bytes.
    pub schema_bytes_max: usize,
    /// The deepest nesting of a schema's text.
    pub schema_depth_max: usize,
    /// The most schemas of the store that one schema is made of, itself included.
    pub schemas_max: usize,
    /// The most subschemas that are reached from one schema, through references included. Compiling takes time in the
    /// square of it.
    pub subschemas_max: usize,
    /// The most different regular expressions in one schema.
    pub patterns_max: usize,
    /// The longest regular expression, in bytes.
    pub pattern_bytes_max: usize,
    /// What the regular expressions of one schema may become when compiled, together, in bytes.
    pub pattern_program_bytes_max: usize,
    /// The most work of one check, in steps of about two nanoseconds.
    pub check_steps_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            schema_bytes_max: 256 << 10,
            schema_depth_max: 128,
            schemas_max: 64,
            subschemas_max: 8192,
            patterns_max: 256,
            pattern_bytes_max: 2048,
            pattern_program_bytes_max: 2 << 20,
            check_steps_max: 1 << 28,
        }
    }
}

impl Config {
    /// Refuses limits that cannot work, by name.
    pub(crate) fn check(&self) -> Result<()> {
        let ceiling = |field: &str, value: usize, most: usize| match value > most {
            true => Err(Error::invalid(
                "invalid_setting",
                format!("settings of plug-in jsonschema: {field} must be at most {most}"),
            )),
            false => Ok(()),
        };
        ceiling("schema_depth_max", self.schema_depth_max, SCHEMA_DEPTH_CEILING)
    }
}
