//! Drops: a database is marked first, then its entities are removed behind the mark, then the mark.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::{Permission, Principal};
use crate::databases::{Described, SETTINGS_AGE_MAX};
use crate::engine::{Engine, Inner};
use crate::entities::ListQuery;
use crate::error::{Error, Result};
use crate::name::{DatabaseName, EntityId};
use crate::storage::{Expect, Write};

/// How long a drop waits after trouble before it goes on.
const PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    /// A database: its settings, and how far its drop is; `NotFound` where it has neither settings nor entities. Needs read.
    pub async fn database(&self, who: &Principal, database: &DatabaseName) -> Result<Described> {
        if let Some(described) = self.0.databases.get(who, database).await? {
            return Ok(described);
        }
        if self.0.holds_something(database).await? {
            return Ok(Described::default());
        }
        Err(Error::not_found(format!("there is no database {database}: it has neither settings nor entities")))
    }

    /// Drops a database: once this answers, nobody can use it, and its entities are removed in the background. `NotFound`
    /// where there is none. Needs admin.
    pub async fn drop_database(&self, who: &Principal, database: &DatabaseName) -> Result<Described> {
        who.require(Permission::Admin, database)?;
        let mut described = self.database(&Principal::admin(), database).await?;
        self.0.databases.mark(database).await?;
        self.remove_in_background(database.clone());
        described.dropping.get_or_insert_default();
        Ok(described)
    }

    /// Goes on with the drops that the end of a process cut short.
    pub async fn resume_drops(&self) -> Result<()> {
        for database in self.0.databases.marked().await? {
            tracing::info!(%database, "going on with a drop");
            self.remove_in_background(database);
        }
        Ok(())
    }

    fn remove_in_background(&self, database: DatabaseName) {
        if !self.0.databases.begin_drop(&database) {
            return;
        }
        let this: Arc<Inner> = self.0.clone();
        tokio::spawn(async move {
            while let Err(error) = this.remove_all(&database).await {
                tracing::warn!(%database, %error, "a drop has stopped and will be tried again");
                this.databases.note_drop(&database, |progress| progress.trouble = Some(error.to_string()));
                tokio::time::sleep(PAUSE).await;
            }
            tracing::info!(%database, "dropped");
        });
    }
}

impl Inner {
    async fn holds_something(&self, database: &DatabaseName) -> Result<bool> {
        let query = ListQuery { limit: 1, ..ListQuery::default() };
        Ok(!self.index.list(database, &query).await?.items.is_empty())
    }

    async fn remove_all(&self, database: &DatabaseName) -> Result<()> {
        // Writes that began before the mark end first; in other processes, before their settings are too old.
        if self.storage.capabilities().shared {
            tokio::time::sleep(SETTINGS_AGE_MAX).await;
            self.index.forget(database);
        }
        self.turns.pass().await;
        loop {
            let page = self.index.list(database, &ListQuery::default()).await?;
            if page.items.is_empty() {
                return self.databases.unmark(database).await;
            }
            let ids = page.items.into_iter().map(|item| EntityId::new(database.clone(), item.key));
            self.remove_page(database, ids.collect()).await?;
        }
    }

    /// Removes entities whatever they are: a damaged one goes like any other.
    async fn remove_page(&self, database: &DatabaseName, ids: Vec<EntityId>) -> Result<()> {
        let writes = ids.iter().map(|id| Write {
            name: self.sealer.names().entity(id).object,
            object: None,
            expect: Expect::Anything,
        });
        let removed = self.storage.write_batch(writes.collect()).await;
        let results = removed.inspect_err(|_| self.index.forget(database))?;
        let mut outcome = Ok(());
        for (id, result) in ids.iter().zip(results) {
            self.cache.remove(id);
            match result {
                Ok(_) => {
                    self.index.record(id, None);
                    self.databases.note_drop(database, |progress| progress.removed += 1);
                }
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }
}
