//! Which store, and its keys: the flags of `serve` that say so.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use delta_core::keys::SecretText;
use serde_json::Value;

use crate::secrets::Secrets;

/// The store that `serve` would open with the same flags, file and variables.
#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    /// Read settings from this TOML file, as `serve` does
    #[arg(long, value_name = "FILE", env = "DELTADB_CONFIG")]
    config: Option<PathBuf>,
    /// The key is in the data directory, where `serve --dev` keeps it
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    dev: Option<bool>,
    /// Where data is kept [default: ./delta-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The storage plug-in [default: embedded, or fs with --shared-fs]
    #[arg(long, value_name = "NAME")]
    storage: Option<String>,
    /// The directory of a store of the storage fs
    #[arg(long, value_name = "DIR")]
    shared_fs: Option<PathBuf>,
    /// Where its schemas are, if not in that directory
    #[arg(long, value_name = "DIR")]
    templates_dir: Option<PathBuf>,
    /// The file with the master key
    #[arg(long, value_name = "FILE")]
    master_key_file: Option<PathBuf>,
    /// The master key, 64 hex digits; MASTER_KEY does not show in `ps`
    #[arg(long, value_name = "HEX")]
    master_key: Option<String>,
    /// An earlier master key that data is still sealed under; may be repeated
    #[arg(long, value_name = "ID=HEX")]
    previous_key: Vec<String>,
}

impl StoreArgs {
    /// The fields that were given, by their names in the configuration, and the secrets apart from them.
    pub(super) fn split(self) -> (Option<PathBuf>, BTreeMap<String, Value>, Secrets) {
        let path = |path: Option<PathBuf>| path.map(|path| Value::from(path.to_string_lossy().into_owned()));
        let fields = [
            ("dev", self.dev.map(Value::from)),
            ("data_dir", path(self.data_dir)),
            ("storage", self.storage.map(Value::from)),
            ("shared_fs", path(self.shared_fs)),
            ("templates_dir", path(self.templates_dir)),
            ("master_key_file", path(self.master_key_file)),
        ];
        let given = fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))).collect();
        let secrets = Secrets {
            master_key: self.master_key.map(SecretText::new),
            admin_key: None,
            previous_keys: self.previous_key.into_iter().map(SecretText::new).collect(),
        };
        (self.config, given, secrets)
    }
}
