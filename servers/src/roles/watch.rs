//! Master keys that another process puts the store under, while this one runs.
//!
//! Where processes share a store, the newest generation is looked up every second. Its keys are this process's own, or in
//! the key file that both have; without them it says so and goes on with what it knows.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use delta_core::keyring::Keyring;
use delta_core::storage::Storage;
use delta_core::superblock::{self, Superblock};
use tokio_util::sync::CancellationToken;

use crate::cluster::main::{Cluster, Keys};
use crate::config::Config;
use crate::roles::keys;

/// How often the newest generation is looked up.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What follows the changes of others.
pub(crate) struct Watch {
    pub(crate) config: Config,
    pub(crate) storage: Arc<dyn Storage>,
    /// What everything here seals and opens with.
    pub(crate) keyring: Arc<Keyring>,
    /// The keys now.
    pub(crate) keys: Keys,
    /// Whose workers are to know them too.
    pub(crate) cluster: Option<Arc<Cluster>>,
}

impl Watch {
    /// Looks every second until `stop`.
    pub(crate) async fn follow(mut self, stop: CancellationToken) {
        let mut said = String::new();
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL)).await.is_some() {
            let trouble = self.look().await.err().map(|error| format!("{error:#}")).unwrap_or_default();
            if !trouble.is_empty() && trouble != said {
                tracing::error!(
                    error = %trouble,
                    "another process has changed the keys of the store, and this one cannot follow; start it again with them"
                );
            }
            said = trouble;
        }
    }

    async fn look(&mut self) -> Result<()> {
        let newest = superblock::newest(&*self.storage).await?;
        if newest.is_none_or(|newest| newest <= self.keys.generation) {
            return Ok(());
        }
        let (generation, bytes) = superblock::read(&*self.storage).await?.context("the superblock is gone")?;
        let masters = [self.keys.masters.clone(), keys::in_file(&self.config).await?].concat();
        let superblock = Superblock::open_as(generation, &bytes, &masters)?;
        self.keyring.follow(&superblock.keyring)?;
        self.keys = Keys { generation, masters: superblock.select(&masters) };
        let key = self.keyring.active().id().clone();
        tracing::info!(%key, generation, "another process has put a new master key to use, and this one follows");
        self.cluster.iter().for_each(|cluster| cluster.learn(self.keys.clone()));
        Ok(())
    }
}
