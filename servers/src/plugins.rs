//! The plug-ins of this build: the one place where features choose crates.

use delta_core::Error;
use delta_core::plugin::Plugin;

/// Every plug-in crate that is compiled in.
const COMPILED_IN: &[&Plugin] = &[
    #[cfg(feature = "storage-embedded")]
    &delta_storage_embedded::PLUGIN,
    #[cfg(feature = "storage-fs")]
    &delta_storage_fs::PLUGIN,
    #[cfg(feature = "validator-jsonschema")]
    &delta_validator_jsonschema::PLUGIN,
    #[cfg(feature = "keys-file")]
    &delta_keys_file::PLUGIN,
];

/// Every plug-in of this workspace, and the feature that adds it.
const FEATURES: &[(&str, &str, &str)] = &[
    ("storage", "embedded", "storage-embedded"),
    ("storage", "fs", "storage-fs"),
    ("validator", "jsonschema", "validator-jsonschema"),
    ("keys", "file", "keys-file"),
];

/// What to add to the error about a plug-in that this build does not have.
pub(crate) fn hint(error: Error, point: &str, name: &str) -> Error {
    let feature = FEATURES.iter().find(|(its_point, its_name, _)| (*its_point, *its_name) == (point, name));
    match feature {
        Some((_, _, feature)) if error.code() == "unknown_plugin" => {
            Error::invalid("unknown_plugin", format!("{error}; build with the feature {feature} to add it"))
        }
        _ => error,
    }
}

/// Makes the linker keep the crates, whose registrations nothing else refers to.
pub(crate) fn keep() {
    std::hint::black_box(COMPILED_IN);
}
