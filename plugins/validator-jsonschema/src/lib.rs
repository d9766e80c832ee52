//! Validator `jsonschema`: JSON Schema drafts 4, 6, 7, 2019-09 and 2020-12 by boon, confined to the store and to a budget.
//!
//! boon decides what is valid. This crate decides what boon may see and how much it may do: references are resolved here
//! first, so that nothing outside the store is reached, and every check is measured before it is run, so that neither a
//! schema nor a document can exhaust time, memory or the stack. The surprise: the measure is an upper bound, so a check
//! that boon might have finished can be refused; it is never the other way round.
//!
//! For those who write schemas:
//!
//! * Without `$schema` a schema is draft-07. `format` is asserted in every draft; `contentEncoding` and its kin are not.
//! * `$ref` reaches `delta:///<schema id>`, the same written relative (`"chat.v1"`), the schema itself, and the
//!   meta-schemas of the five drafts. An `$id` with another base moves relative references there, where nothing is.
//! * `pattern` and `patternProperties` are regular expressions without look-around and back-references, matched in time
//!   linear in the text. `\d`, `\w` and `\s` mean what they mean in ECMA 262.
//! * Integers are exact in `const` and `enum`; `minimum`, `maximum` and `multipleOf` compare them as 64-bit floating point,
//!   exact up to 2^53. A number that no 64-bit float can hold is checked as the nearest one that exists.
//! * A schema that applies itself to the same value again (`{"allOf": [{"$ref": "#"}]}`) is refused: it has no meaning.
//! * Alternatives that nest in themselves (`anyOf` of objects that hold the same `anyOf`) multiply the work with every
//!   level. `if` and `then` on a discriminating property do not.
//!
//! Messages name properties and quote the schema; they never quote a value of the document. Where a violation is of another
//! schema of the store, its schema pointer is led by that schema's id: `name.v1#/type`.

mod builder;
mod config;
#[cfg(test)]
mod confined_tests;
mod dialect;
mod graph;
#[cfg(test)]
mod limits_tests;
mod loops;
mod message;
mod meter;
mod node;
mod parts;
mod pattern;
#[cfg(test)]
mod random_tests;
mod read;
mod report;
#[cfg(test)]
mod report_tests;
mod sources;
mod stack;
#[cfg(test)]
mod suite_tests;
mod unique;
mod validator;
mod way;

use std::sync::Arc;

use delta_core::Result;
use delta_core::plugin::{Open, Plugin, Settings, inventory};
use delta_core::validator::Validator;

pub use config::Config;
pub use validator::JsonSchema;

/// How the registry knows this plug-in.
pub static PLUGIN: Plugin = Plugin {
    name: "jsonschema",
    about: "JSON Schema, drafts 4, 6, 7, 2019-09 and 2020-12, confined to the store",
    open: Open::Validator(open),
};

inventory::submit! { PLUGIN }

fn open(settings: Settings) -> Result<Arc<dyn Validator>> {
    Ok(Arc::new(JsonSchema::new(settings.parse(PLUGIN.name)?)?))
}
