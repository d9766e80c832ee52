//! The plug-ins of this build: the one place where features choose crates.

use delta_core::plugin::Plugin;

/// Every plug-in crate that is compiled in.
const COMPILED_IN: &[&Plugin] = &[
    #[cfg(feature = "storage-embedded")]
    &delta_storage_embedded::PLUGIN,
    #[cfg(feature = "validator-jsonschema")]
    &delta_validator_jsonschema::PLUGIN,
    #[cfg(feature = "keys-file")]
    &delta_keys_file::PLUGIN,
];

/// Makes the linker keep the crates, whose registrations nothing else refers to.
pub(crate) fn keep() {
    std::hint::black_box(COMPILED_IN);
}
