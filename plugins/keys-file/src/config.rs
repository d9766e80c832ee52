//! What the operator sets.

use std::path::PathBuf;

use delta_core::name::KeyId;
use serde::Deserialize;

/// The settings of this plug-in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file. It need not exist before a key is created.
    pub path: PathBuf,
    /// What a key is called that stands in the file without an id.
    pub key_id: KeyId,
}
