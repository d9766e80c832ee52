//! Master keys in a file of the operator's.
//!
//! The file is the operator's to write and to keep; this crate reads it, and adds a key to it on request. What it refuses
//! to own: which of the keys a store needs (the store's superblock says that), and a backup of the file. The surprise:
//! a file that others may read is refused, as `ssh` refuses such a private key.

mod config;
mod keys;
mod lines;

use delta_core::plugin::{Open, Plugin};

pub use config::Config;
pub use keys::FileKeys;

/// The plug-in as the registry knows it.
pub static PLUGIN: Plugin = Plugin {
    name: "file",
    about: "master keys in a file, one a line",
    open: Open::Keys(|settings| Box::pin(async move { Ok(FileKeys::new(settings.parse(PLUGIN.name)?).shared()) })),
};

delta_core::plugin::inventory::submit!(PLUGIN);
