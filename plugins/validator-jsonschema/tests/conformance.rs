//! The validator keeps the contract.

use delta_validator_jsonschema::JsonSchema;

fn fixture() -> JsonSchema {
    JsonSchema::default()
}

delta_core::conformance::validator!(fixture);
