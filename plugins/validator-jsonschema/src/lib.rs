//! JSON Schema by boon, confined to the store.

mod validator;

use std::sync::Arc;

use delta_core::plugin::{Open, Plugin, inventory};
use delta_core::validator::Validator;

pub use validator::JsonSchema;

/// How the registry knows this plug-in.
pub static PLUGIN: Plugin = Plugin {
    name: "jsonschema",
    about: "JSON Schema, drafts 4, 6, 7, 2019-09 and 2020-12",
    open: Open::Validator(|_| Ok(Arc::new(JsonSchema) as Arc<dyn Validator>)),
};

inventory::submit! { PLUGIN }
