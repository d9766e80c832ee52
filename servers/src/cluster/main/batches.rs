//! Many entities at once: each part goes to the worker that has it.
//!
//! Where documents must match a schema, all of them are checked before any is written. What a lost worker had becomes the
//! error of its own keys and of no others.

use std::collections::BTreeMap;

use delta_core::auth::Principal;
use delta_core::document::Document;
use delta_core::entities::{Entity, Written};
use delta_core::name::{DatabaseName, EntityKey, SchemaId, WriterId};
use delta_core::{Error, Result};
use futures::future::join_all;

use crate::cluster::main::roster::rank;
use crate::cluster::main::router::{Router, misfit, nobody, task};
use crate::cluster::wire;
use crate::grpc::api::delta::v1::answer::Outcome;
use crate::grpc::api::delta::v1::many_kept::item::Outcome as Each;
use crate::grpc::api::delta::v1::task::Work;
use crate::grpc::api::delta::v1::{Keys, ManyFound, ManyKept, Task, many_found, many_kept};

impl Router {
    /// Many entities, in order.
    pub(crate) async fn get_batch(
        &self,
        who: &Principal,
        database: &DatabaseName,
        keys: &[EntityKey],
    ) -> Result<Vec<Option<Entity>>> {
        let parts = self.parts(database, keys.iter())?;
        let reads = parts.iter().map(|part| self.get_part(who, database, of(part, keys)));
        let (mut found, mut bytes) = (keys.iter().map(|_| None).collect::<Vec<_>>(), 0);
        for (part, items) in parts.iter().zip(join_all(reads).await) {
            for (at, item) in part.iter().zip(items?) {
                let entity = item.found.map(wire::entity).transpose()?;
                bytes += entity.as_ref().map_or(0, |entity| entity.document.bytes().len());
                self.engine().check_bytes(bytes)?;
                found.iter_mut().skip(*at).take(1).for_each(|slot| slot.clone_from(&entity));
            }
        }
        Ok(found)
    }

    /// What one worker has of them.
    async fn get_part(
        &self,
        who: &Principal,
        database: &DatabaseName,
        keys: Vec<EntityKey>,
    ) -> Result<Vec<many_found::Item>> {
        let Some(first) = keys.first() else { return Err(misfit()) };
        let wanted = Work::GetMany(Keys { keys: keys.iter().map(EntityKey::to_string).collect() });
        match self.read(database, first, &task(who, database, wanted)).await? {
            Outcome::ManyFound(ManyFound { items }) if items.len() == keys.len() => Ok(items),
            _ => Err(misfit()),
        }
    }

    /// What one worker is to write of them.
    async fn put_part(
        &self,
        database: &DatabaseName,
        documents: Vec<(EntityKey, Document)>,
        task: Task,
    ) -> Result<Vec<many_kept::Item>> {
        let Some((first, _)) = documents.first() else { return Err(misfit()) };
        match self.write(database, first, task).await? {
            Outcome::ManyKept(ManyKept { items }) if items.len() == documents.len() => Ok(items),
            _ => Err(misfit()),
        }
    }

    /// Many writes, answered in order.
    pub(crate) async fn put_batch(
        &self,
        who: &Principal,
        database: &DatabaseName,
        documents: Vec<(EntityKey, Document)>,
        schema: Option<&(SchemaId, u32)>,
    ) -> Result<Vec<Result<Written>>> {
        let parts = self.parts(database, documents.iter().map(|(key, _)| key))?;
        let of_schema = |task: Task| Task { schema: schema.map(wire::schema_version), ..task };
        if let (Some((first, _)), true) = (documents.first(), schema.is_some() && parts.len() > 1) {
            let check = of_schema(task(who, database, Work::Check(wire::documents(&documents))));
            match self.read(database, first, &check).await? {
                Outcome::Checked(_) => {}
                _ => return Err(misfit()),
            }
        }
        let writes = parts.iter().map(|part| {
            let documents = of(part, &documents);
            let task = of_schema(task(who, database, Work::PutMany(wire::documents(&documents))));
            self.put_part(database, documents, task)
        });
        let mut answers = join_all(writes).await;
        // One part is all of it: what it could not do was not done.
        if let (1, Some(Err(_))) = (answers.len(), answers.first()) {
            return answers.pop().unwrap_or_else(|| Err(misfit())).map(|_| Vec::new());
        }
        let mut results: Vec<Option<Result<Written>>> = documents.iter().map(|_| None).collect();
        for (part, answer) in parts.iter().zip(answers) {
            let mut each = match answer {
                Ok(items) => items.into_iter().map(|item| outcome(item.outcome)).collect::<Vec<_>>(),
                Err(error) => part.iter().map(|_| Err(wire::error(wire::fault(&error)))).collect(),
            };
            for (at, result) in part.iter().zip(each.drain(..)) {
                if let Some(slot) = results.get_mut(*at) {
                    *slot = Some(result);
                }
            }
        }
        Ok(results.into_iter().map(|result| result.unwrap_or_else(|| Err(misfit()))).collect())
    }

    /// Which of these keys belong to the same worker, by their places; the part with the first key first.
    fn parts<'a>(&self, database: &DatabaseName, keys: impl Iterator<Item = &'a EntityKey>) -> Result<Vec<Vec<usize>>> {
        let mut workers = self.roster().open();
        let mut parts: BTreeMap<WriterId, Vec<usize>> = BTreeMap::new();
        for (at, key) in keys.enumerate() {
            rank(&mut workers, database, key);
            let owner = workers.first().ok_or_else(nobody)?;
            parts.entry(owner.worker.clone()).or_default().push(at);
        }
        let mut parts: Vec<_> = parts.into_values().collect();
        parts.sort_unstable();
        Ok(parts)
    }
}

fn of<T: Clone>(part: &[usize], all: &[T]) -> Vec<T> {
    part.iter().filter_map(|at| all.get(*at)).cloned().collect()
}

fn outcome(each: Option<Each>) -> Result<Written> {
    match each {
        Some(Each::Kept(kept)) => Ok(wire::kept(&kept)?.written),
        Some(Each::Fault(fault)) => Err(wire::error(fault)),
        None => Err::<_, Error>(misfit()),
    }
}
