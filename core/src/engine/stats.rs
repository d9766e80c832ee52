//! What an engine did so far: counters that cost nothing until somebody reads them.

use crate::cache::CacheStats;
use crate::engine::Engine;
use crate::index::IndexStats;
use crate::seal::SealStats;

/// What an engine did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// The cache of opened documents.
    pub cache: CacheStats,
    /// The ordered keys of listings.
    pub index: IndexStats,
    /// Objects sealed and opened, the product's own records among them.
    pub seal: SealStats,
    /// Drops of databases that are under way.
    pub drops_running: u64,
    /// Drops of databases that came to their end.
    pub drops_finished: u64,
}

impl Engine {
    /// What it did so far.
    pub fn stats(&self) -> EngineStats {
        let (drops_running, drops_finished) = self.0.databases.drop_counts();
        EngineStats {
            cache: self.0.cache.stats(),
            index: self.0.index.stats(),
            seal: self.0.sealer.stats(),
            drops_running,
            drops_finished,
        }
    }
}
