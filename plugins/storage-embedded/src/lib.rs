//! Storage `embedded`: a log-structured merge tree with a write-ahead log in one directory, exclusive to one process.
//!
//! Concurrent writes share one fdatasync (group commit), and a write is visible only after it is durable. What it refuses to
//! own: more than one process. The surprise: the tree's own recovery would silently drop acknowledged writes behind a
//! damaged log entry, so the last commit's number is kept beside it, and a store that recovers to less does not open.

mod committer;
mod config;
mod directory;
mod group;
mod journal;
mod listing;
mod lists;
mod queue;
mod recovery;
mod sequence;
mod storage;
mod tree;

use std::sync::Arc;

use delta_core::plugin::{Open, Plugin, inventory};
use delta_core::storage::Storage;
use delta_core::{Error, Result};
use futures::future::BoxFuture;

pub use config::Config;
pub use storage::EmbeddedStorage;

/// How the registry knows this plug-in.
pub static PLUGIN: Plugin = Plugin {
    name: "embedded",
    about: "One directory, exclusive to one process; concurrent writes share one fdatasync",
    open: Open::Storage(open),
};

inventory::submit! { PLUGIN }

fn open(settings: delta_core::plugin::Settings) -> BoxFuture<'static, Result<Arc<dyn Storage>>> {
    Box::pin(async move {
        let config: Config = settings.parse(PLUGIN.name)?;
        let opened = tokio::task::spawn_blocking(move || EmbeddedStorage::open(&config)).await;
        let opened = opened.map_err(|error| Error::internal("opening the store was cut short").with_source(error))?;
        Ok(Arc::new(opened?) as Arc<dyn Storage>)
    })
}
