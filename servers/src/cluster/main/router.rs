//! What a client can do, done by workers.
//!
//! The engine of the main decides and lists; a worker reads and writes. A read whose worker is lost is asked once more of
//! another. A write that a worker may have got is never repeated: its outcome is unknown, and the client is told so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use delta_core::auth::{Permission, Principal};
use delta_core::document::Document;
use delta_core::engine::{Engine, Kept};
use delta_core::entities::{Entities, Entity, ListQuery, Page, Precondition, PutOptions, Written};
use delta_core::name::{DatabaseName, EntityId, EntityKey, SchemaId};
use delta_core::patch::Patch;
use delta_core::{Error, ErrorKind, Result};
use tracing::Instrument;

use crate::cluster::main::overlaps::Overlaps;
use crate::cluster::main::roster::Roster;
use crate::cluster::main::session::{Lost, Session};
use crate::cluster::{NOT_BEGUN, wire};
use crate::grpc::api::delta::v1::answer::Outcome;
use crate::grpc::api::delta::v1::task::Work;
use crate::grpc::api::delta::v1::{Fault, Task};
use crate::metrics::{Work as Counted, work};
use crate::trace;

/// Has workers do what clients ask for. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Router(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Engine,
    roster: Arc<Roster>,
    /// How long a task may take.
    patience: Duration,
    /// The tasks, counted.
    work: Arc<Counted>,
    /// The writes that are under way.
    overlaps: Overlaps,
}

/// Nobody to do the work.
pub(crate) fn nobody() -> Error {
    Error::unavailable("there is no worker to do this; start one with deltadb worker").with_code("no_worker")
}

/// A task in a database.
pub(crate) fn task(who: &Principal, database: &DatabaseName, work: Work) -> Task {
    Task {
        who: Some(wire::caller(who)),
        database: database.to_string(),
        traceparent: trace::outgoing(),
        work: Some(work),
        ..Task::default()
    }
}

/// Something else than what was asked for.
pub(crate) fn misfit() -> Error {
    wire::garbled("an answer to something else")
}

/// Whether a fault says that the worker has not begun.
fn is_not_begun(fault: &Fault) -> bool {
    fault.code == NOT_BEGUN
}

impl Router {
    /// Decides with this engine and has the workers of this roster do it, each task within this time and counted there.
    pub(crate) fn new(engine: Engine, roster: Arc<Roster>, patience: Duration, work: Arc<Counted>) -> Self {
        Self(Arc::new(Inner { engine, roster, patience, work, overlaps: Overlaps::default() }))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn roster(&self) -> &Roster {
        &self.0.roster
    }

    /// Has a read done, again by another worker if the first is lost.
    pub(crate) async fn read(&self, database: &DatabaseName, key: &EntityKey, task: &Task) -> Result<Outcome> {
        let deadline = Instant::now() + self.0.patience;
        let mut may_repeat = true;
        let mut refused = None;
        for worker in self.0.roster.candidates(database, key) {
            match self.ask(&worker, task, deadline).await {
                Ok(Outcome::Fault(fault)) if is_not_begun(&fault) => refused = Some(wire::error(fault)),
                Ok(Outcome::Fault(fault)) => return Err(wire::error(fault)),
                Ok(outcome) => return Ok(outcome),
                Err(Lost::Unsent) => {}
                Err(Lost::Sent) if may_repeat => may_repeat = false,
                Err(Lost::Sent) => return Err(Error::unavailable("two workers were lost over this; try again")),
                Err(Lost::Late) => return Err(Error::unavailable("no worker answered in time; try again")),
            }
        }
        Err(refused.unwrap_or_else(|| self.busy()))
    }

    /// Has one worker do it.
    async fn ask(&self, worker: &Session, task: &Task, deadline: Instant) -> std::result::Result<Outcome, Lost> {
        let counted = self.0.work.begin(task.work.as_ref());
        let answer = worker.ask(task.clone(), deadline).await;
        match &answer {
            Ok(outcome) => counted.ended(work::outcome(outcome)),
            Err(Lost::Unsent) => counted.ended("unsent"),
            Err(Lost::Sent) => counted.ended("lost"),
            // Nobody waits for it any more.
            Err(Lost::Late) => drop(counted),
        }
        answer
    }

    /// Has a write done, by nobody else once a worker may have got it. Runs to its end, whoever waits for it.
    pub(crate) async fn write(&self, database: &DatabaseName, key: &EntityKey, task: Task) -> Result<Outcome> {
        let (this, database, key) = (self.clone(), database.clone(), key.clone());
        let write = async move {
            let under_way = this.0.overlaps.begin(&database, &task);
            let result = this.try_write(&database, &key, &task).await;
            match under_way.is_mixed() {
                // Nobody here knows which of them was last.
                true => this.0.engine.forget(&database),
                false => this.note(&database, &task, &result),
            }
            drop(under_way);
            result
        };
        let ended = tokio::spawn(write.in_current_span());
        ended.await.unwrap_or_else(|_| Err(Error::outcome_unknown("the write was cut short; read before repeating it")))
    }

    async fn try_write(&self, database: &DatabaseName, key: &EntityKey, task: &Task) -> Result<Outcome> {
        let deadline = Instant::now() + self.0.patience;
        let mut refused = None;
        for worker in self.0.roster.candidates(database, key) {
            match self.ask(&worker, task, deadline).await {
                Ok(Outcome::Fault(fault)) if is_not_begun(&fault) => refused = Some(wire::error(fault)),
                Ok(Outcome::Fault(fault)) => return Err(wire::error(fault)),
                Ok(outcome) => return Ok(outcome),
                Err(Lost::Unsent) => {}
                Err(Lost::Sent | Lost::Late) => {
                    let message =
                        format!("worker {} was lost over this write; read before repeating it", worker.worker);
                    return Err(Error::outcome_unknown(message));
                }
            }
        }
        Err(refused.unwrap_or_else(|| self.busy()))
    }

    /// Keeps the listing current.
    fn note(&self, database: &DatabaseName, task: &Task, result: &Result<Outcome>) {
        let record = |key: &str, size_bytes| match key.parse() {
            Ok(key) => self.0.engine.record(&EntityId::new(database.clone(), key), size_bytes),
            Err(_) => self.0.engine.forget(database),
        };
        match (&task.work, result) {
            (Some(Work::Put(of) | Work::Merge(of) | Work::Operations(of)), Ok(Outcome::Kept(kept))) => {
                record(&of.key, Some(kept.size_bytes));
            }
            (Some(Work::Delete(key)), Ok(Outcome::Removed(_))) => record(key, None),
            (Some(Work::PutMany(of)), Ok(Outcome::ManyKept(many))) => {
                for (one, item) in of.documents.iter().zip(&many.items) {
                    use crate::grpc::api::delta::v1::many_kept::item::Outcome as Each;
                    match &item.outcome {
                        Some(Each::Kept(kept)) => record(&one.key, Some(kept.size_bytes)),
                        Some(Each::Fault(fault)) if fault.kind != ErrorKind::OutcomeUnknown.code() => {}
                        _ => self.0.engine.forget(database),
                    }
                }
            }
            (_, Err(error)) if error.kind() != ErrorKind::OutcomeUnknown => {}
            _ => self.0.engine.forget(database),
        }
    }

    /// Why no worker took a task.
    fn busy(&self) -> Error {
        if self.0.roster.open().is_empty() {
            return nobody();
        }
        Error::unavailable("every worker has as many tasks as it may; try again").with_code("busy")
    }

    async fn keep(&self, id: &EntityId, task: Task) -> Result<Kept> {
        match self.write(&id.database, &id.key, task).await? {
            Outcome::Kept(kept) => wire::kept(&kept),
            _ => Err(misfit()),
        }
    }
}

#[async_trait]
impl Entities for Router {
    async fn get(&self, who: &Principal, id: &EntityId) -> Result<Entity> {
        self.0.engine.admit(who, Permission::Read, &id.database).await?;
        let task = task(who, &id.database, Work::Get(id.key.to_string()));
        match self.read(&id.database, &id.key, &task).await? {
            Outcome::Found(found) => wire::entity(found),
            _ => Err(misfit()),
        }
    }

    async fn put(&self, who: &Principal, id: &EntityId, document: Document, options: &PutOptions) -> Result<Written> {
        let schema = self.0.engine.decide(who, &id.database, options.schema.as_ref()).await?;
        let task = Task {
            schema: schema.as_ref().map(wire::schema_version),
            condition: Some(wire::condition(&options.precondition)),
            ..task(who, &id.database, Work::Put(wire::keyed(&id.key, &document)))
        };
        Ok(self.keep(id, task).await?.written)
    }

    async fn put_many(
        &self,
        who: &Principal,
        database: &DatabaseName,
        documents: Vec<(EntityKey, Document)>,
        schema: Option<&SchemaId>,
    ) -> Result<Vec<Result<Written>>> {
        who.require(Permission::Write, database)?;
        self.0.engine.check_batch(&documents)?;
        let schema = self.0.engine.decide(who, database, schema).await?;
        self.put_batch(who, database, documents, schema.as_ref()).await
    }

    async fn patch(&self, who: &Principal, id: &EntityId, patch: &Patch, options: &PutOptions) -> Result<Written> {
        let schema = self.0.engine.decide(who, &id.database, options.schema.as_ref()).await?;
        let work = match patch {
            Patch::Merge(patch) => Work::Merge(wire::keyed(&id.key, patch)),
            Patch::Operations(patch) => Work::Operations(wire::keyed(&id.key, patch)),
        };
        let task = Task {
            schema: schema.as_ref().map(wire::schema_version),
            condition: Some(wire::condition(&options.precondition)),
            ..task(who, &id.database, work)
        };
        Ok(self.keep(id, task).await?.written)
    }

    async fn delete(&self, who: &Principal, id: &EntityId, precondition: &Precondition) -> Result<bool> {
        self.0.engine.admit(who, Permission::Write, &id.database).await?;
        let condition = Some(wire::condition(precondition));
        let task = Task { condition, ..task(who, &id.database, Work::Delete(id.key.to_string())) };
        match self.write(&id.database, &id.key, task).await? {
            Outcome::Removed(existed) => Ok(existed),
            _ => Err(misfit()),
        }
    }

    async fn get_many(
        &self,
        who: &Principal,
        database: &DatabaseName,
        keys: &[EntityKey],
    ) -> Result<Vec<Option<Entity>>> {
        self.0.engine.admit(who, Permission::Read, database).await?;
        self.0.engine.check_keys(keys)?;
        self.get_batch(who, database, keys).await
    }

    async fn list(&self, who: &Principal, database: &DatabaseName, query: &ListQuery) -> Result<Page> {
        self.0.engine.list(who, database, query).await
    }

    async fn databases(&self, who: &Principal) -> Result<Vec<DatabaseName>> {
        Entities::databases(&self.0.engine, who).await
    }
}
