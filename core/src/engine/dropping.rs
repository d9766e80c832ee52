//! Drops: a database is marked first, then its entities are removed behind the mark, then the mark.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};

use crate::auth::{Permission, Principal};
use crate::databases::{DROPPING, Described, Record, SETTINGS_AGE_MAX};
use crate::engine::{Engine, Inner, READS_AT_ONCE};
use crate::entities::ListQuery;
use crate::error::{Error, ErrorKind, Result};
use crate::name::{DatabaseName, EntityId};
use crate::storage::{Expect, Write};

/// How long a drop waits after trouble before it goes on.
const PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    /// A database: its settings, and how far its drop is; `NotFound` where it has neither settings nor entities. Needs read.
    pub async fn database(&self, who: &Principal, database: &DatabaseName) -> Result<Described> {
        if let Some(described) = self.0.databases.get(who, database).await? {
            if described.dropping.is_some() {
                self.help_with_drop(database);
            }
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

    /// The settings that count for an operation on a database, or `Conflict` under the code `dropping`.
    pub(super) async fn usable(&self, database: &DatabaseName) -> Result<Option<Arc<Record>>> {
        let usable = self.0.databases.usable(database).await;
        usable.inspect_err(|error| {
            if error.code() == DROPPING {
                self.help_with_drop(database);
            }
        })
    }

    /// Takes part in a drop that another process may have begun, which may be gone by now.
    fn help_with_drop(&self, database: &DatabaseName) {
        if self.0.storage.capabilities().shared {
            self.remove_in_background(database.clone());
        }
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

    /// Removes what a database holds, then its mark. Other processes may be at it too, and whoever is last ends it.
    pub(super) async fn remove_all(&self, database: &DatabaseName) -> Result<()> {
        let Some(drop) = self.databases.marked_for(database).await? else {
            self.databases.end_drop(database);
            return Ok(());
        };
        let shared = self.storage.capabilities().shared;
        // Writes that began before the mark end first; in other processes, before their settings are too old.
        if shared {
            tokio::time::sleep(SETTINGS_AGE_MAX).await;
            self.index.forget(database);
        }
        self.turns.pass().await;
        let mut looked_again = !shared;
        loop {
            let page = self.index.list(database, &ListQuery::default()).await?;
            if page.items.is_empty() && looked_again {
                return self.databases.unmark(database, &drop).await;
            }
            // What other processes wrote in between is not in the index.
            looked_again = !shared || page.items.is_empty();
            if page.items.is_empty() {
                self.index.forget(database);
                continue;
            }
            let ids: Vec<_> = page.items.into_iter().map(|item| EntityId::new(database.clone(), item.key)).collect();
            let writes = self.removals(&ids).await?;
            // Asked after the entities were looked at: what was there then belongs to this life of the database.
            if shared && self.databases.marked_for(database).await?.as_ref() != Some(&drop) {
                self.databases.end_drop(database);
                return Ok(());
            }
            self.remove_page(database, &ids, writes).await?;
        }
    }

    /// The removal of each entity, as it is now where another process may end the drop and the name be used again.
    pub(super) async fn removals(&self, ids: &[EntityId]) -> Result<Vec<Write>> {
        let shared = self.storage.capabilities().shared;
        let removals: Vec<_> = ids.iter().map(|id| self.removal(id, shared)).collect();
        stream::iter(removals).buffered(READS_AT_ONCE).try_collect().await
    }

    async fn removal(&self, id: &EntityId, shared: bool) -> Result<Write> {
        let name = self.sealer.names().entity(id).object;
        let expect = match shared {
            false => Expect::Anything,
            true => match self.storage.head(&name).await {
                Ok(head) => head.map_or(Expect::Absent, |head| Expect::Revision(head.revision)),
                // A damaged one goes like any other.
                Err(error) if error.kind() == ErrorKind::Damaged => Expect::Anything,
                Err(error) => return Err(error),
            },
        };
        Ok(Write { name, object: None, expect })
    }

    pub(super) async fn remove_page(
        &self,
        database: &DatabaseName,
        ids: &[EntityId],
        writes: Vec<Write>,
    ) -> Result<()> {
        let removed = self.storage.write_batch(writes).await;
        let results = removed.inspect_err(|_| self.index.forget(database))?;
        let mut outcome = Ok(());
        for (id, result) in ids.iter().zip(results) {
            self.cache.remove(id);
            match result {
                Ok(_) => {
                    self.index.record(id, None);
                    self.databases.note_drop(database, |progress| progress.removed += 1);
                }
                // Somebody else changed or removed it: the next listing tells.
                Err(error) if error.kind() == ErrorKind::Conflict => self.index.forget(database),
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }
}
