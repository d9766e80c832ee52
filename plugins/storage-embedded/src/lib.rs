//! Storage `embedded`: a log-structured merge tree with a write-ahead log in one directory, exclusive to one process.
//!
//! Concurrent writes share one fdatasync (group commit). A write is visible only after it is durable. The surprise: the
//! tree's own recovery would silently drop acknowledged writes behind a damaged log entry, so the last committed sequence
//! is kept beside it, and a store that recovers to less does not open.

mod committer;
mod config;
mod sequence;
mod storage;

use std::sync::Arc;

use delta_core::plugin::{Open, Plugin, inventory};
use delta_core::storage::Storage;

pub use config::Config;
pub use storage::EmbeddedStorage;

/// How the registry knows this plug-in.
pub static PLUGIN: Plugin = Plugin {
    name: "embedded",
    about: "One directory, exclusive to one process; concurrent writes share one fdatasync",
    open: Open::Storage(|settings| {
        Box::pin(async move {
            let config: Config = settings.parse("embedded")?;
            let opened = tokio::task::spawn_blocking(move || EmbeddedStorage::open(&config)).await;
            let opened =
                opened.map_err(|error| delta_core::Error::internal("opening was cut short").with_source(error))?;
            Ok(Arc::new(opened?) as Arc<dyn Storage>)
        })
    }),
};

inventory::submit! { PLUGIN }
