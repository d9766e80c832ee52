//! One task: from a message to [`Hands`], and the answer back.

use std::panic::AssertUnwindSafe;

use delta_core::engine::Hands;
use delta_core::name::{DatabaseName, EntityId, EntityKey};
use delta_core::patch::Patch;
use delta_core::{Error, ErrorKind, Result};
use futures::FutureExt;

use crate::cluster::{NOT_BEGUN, wire};
use crate::grpc::api::delta::v1::answer::Outcome;
use crate::grpc::api::delta::v1::many_kept::item::Outcome as Each;
use crate::grpc::api::delta::v1::task::Work;
use crate::grpc::api::delta::v1::{Checked, ManyFound, ManyKept, Task, many_found, many_kept};
use crate::trace;

/// Does a task, whatever becomes of it.
pub(crate) async fn answer(hands: &Hands, task: Task) -> Outcome {
    // A fault in one task must not take the stream's other tasks with it, nor leave a client waiting.
    let done = AssertUnwindSafe(done(hands, task)).catch_unwind().await;
    match done.unwrap_or_else(|_| Err(Error::internal("a task panicked"))) {
        Ok(outcome) => outcome,
        Err(error) => {
            let mut fault = wire::fault(&error);
            if matches!(error.kind(), ErrorKind::Internal | ErrorKind::Damaged) {
                let trace = trace::id();
                tracing::error!(trace_id = %trace, ?error, "a task failed");
                // For the log of the main, which has the id that the client is told.
                fault.message = format!("{error} (trace {trace} in the worker's log)");
            }
            Outcome::Fault(fault)
        }
    }
}

/// A task that was not begun, so that another worker may have it.
pub(crate) fn not_begun(why: &str) -> Outcome {
    Outcome::Fault(wire::fault(&Error::unavailable(format!("{why}; try again")).with_code(NOT_BEGUN)))
}

async fn done(hands: &Hands, task: Task) -> Result<Outcome> {
    let who = &wire::principal(task.who)?;
    let database: DatabaseName = task.database.parse()?;
    let schema = wire::schema(task.schema)?;
    let schema = schema.as_ref();
    let condition = wire::precondition(task.condition.as_ref())?;
    let id = |key: EntityKey| EntityId::new(database.clone(), key);
    Ok(match task.work.ok_or_else(|| wire::garbled("a task"))? {
        Work::Get(key) => Outcome::Found(wire::found(&hands.get(who, &id(key.parse()?)).await?)),
        Work::GetMany(wanted) => {
            let keys = wanted.keys.iter().map(|key| key.parse()).collect::<Result<Vec<EntityKey>>>()?;
            let found = hands.get_many(who, &database, &keys).await?;
            let item = |entity: &Option<_>| many_found::Item { found: entity.as_ref().map(wire::found) };
            Outcome::ManyFound(ManyFound { items: found.iter().map(item).collect() })
        }
        Work::Put(of) => {
            let (key, document) = wire::key_and_document(of)?;
            Outcome::Kept(wire::kept_message(&hands.put(who, &id(key), document, schema, &condition).await?))
        }
        Work::PutMany(all) => {
            let results = hands.put_many(who, &database, wire::keys_and_documents(all)?, schema).await?;
            let each = |result: &Result<_>| match result {
                Ok(kept) => Each::Kept(wire::kept_message(kept)),
                Err(error) => Each::Fault(wire::fault(error)),
            };
            let item = |result| many_kept::Item { outcome: Some(each(result)) };
            Outcome::ManyKept(ManyKept { items: results.iter().map(item).collect() })
        }
        Work::Check(all) => {
            let schema = schema.ok_or_else(|| wire::garbled("a check without a schema"))?;
            hands.check(schema, &wire::keys_and_documents(all)?).await?;
            Outcome::Checked(Checked {})
        }
        Work::Merge(of) => {
            let (key, patch) = wire::key_and_document(of)?;
            let patch = Patch::Merge(patch);
            Outcome::Kept(wire::kept_message(&hands.patch(who, &id(key), &patch, schema, &condition).await?))
        }
        Work::Operations(of) => {
            let (key, patch) = wire::key_and_document(of)?;
            let patch = Patch::Operations(patch);
            Outcome::Kept(wire::kept_message(&hands.patch(who, &id(key), &patch, schema, &condition).await?))
        }
        Work::Delete(key) => Outcome::Removed(hands.delete(who, &id(key.parse()?), &condition).await?),
    })
}
