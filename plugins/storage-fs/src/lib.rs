//! Storage `fs`: one file an object in a directory that any number of processes share, on a local disk or over NFS.
//!
//! A write happens under a `flock` of the name's stripe: check, temp file, fdatasync, rename, fsync of the directory. Readers
//! take no lock, because a rename swaps one complete file for another. What it refuses to own: memory; the files are
//! all there is. The surprise: many writes at the same time share each of these steps, and each is still answered only
//! after its own directory was synced.

mod alone;
mod committer;
mod config;
mod contended;
mod directory;
mod durable;
mod failure;
mod group;
mod instance;
mod layout;
mod listing;
mod mount;
mod queue;
mod read;
mod sidecar;
mod storage;
mod stripes;
mod tidy;

use std::sync::Arc;

use delta_core::plugin::{Open, Plugin, inventory};
use delta_core::storage::Storage;
use delta_core::{Error, Result};
use futures::future::BoxFuture;

pub use config::{Access, Config, Sidecar};
pub use storage::FsStorage;

/// How the registry knows this plug-in.
pub static PLUGIN: Plugin = Plugin {
    name: "fs",
    about: "One file an entity in a directory that any number of processes share",
    open: Open::Storage(open),
};

inventory::submit! { PLUGIN }

fn open(settings: delta_core::plugin::Settings) -> BoxFuture<'static, Result<Arc<dyn Storage>>> {
    Box::pin(async move {
        let config: Config = settings.parse(PLUGIN.name)?;
        let opened = tokio::task::spawn_blocking(move || FsStorage::open(&config)).await;
        let opened = opened.map_err(|error| Error::internal("opening the store was cut short").with_source(error))?;
        Ok(Arc::new(opened?) as Arc<dyn Storage>)
    })
}
