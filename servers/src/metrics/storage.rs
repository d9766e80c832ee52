//! A storage that is measured: the same contract, each call counted by what became of it, and timed.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use delta_core::storage::{
    Capabilities, Expect, Group, Listed, Object, ObjectName, Revision, Space, Storage, Stored, StoredHead, Write,
};
use delta_core::{Error, ErrorKind, Result};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use prometheus::{IntGauge, Registry};
use tracing::{Instrument, Span};

use crate::metrics::table::{Table, gauges};
use crate::trace;

/// The calls that are measured, in the order of [`CALLS`].
#[derive(Debug, Clone, Copy)]
enum Call {
    Get,
    Head,
    Put,
    Delete,
    WriteBatch,
    List,
    Groups,
    Quarantine,
}

const CALLS: [&str; 8] = ["get", "head", "put", "delete", "write_batch", "list", "groups", "quarantine"];
const OUTCOMES: [&str; 4] = ["ok", "conflict", "unknown", "failed"];
const OK: usize = 0;

/// What became of a call, as a place in [`OUTCOMES`].
fn outcome(error: &Error) -> usize {
    match error.kind() {
        ErrorKind::Conflict => 1,
        ErrorKind::OutcomeUnknown => 2,
        _ => 3,
    }
}

/// The calls of a storage.
#[derive(Debug)]
pub(crate) struct StorageCalls {
    table: Table,
    in_flight: Vec<IntGauge>,
}

impl StorageCalls {
    /// No calls yet.
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let about = (
            "deltadb_storage_call_duration_seconds",
            "Calls of the storage, by what became of them; none: nobody waited for it any more.",
        );
        let rows = CALLS.iter().map(|call| vec![(*call).to_owned()]);
        let table = Table::new(registry, about, &["call", "outcome"], rows, &OUTCOMES)?;
        let about = ("deltadb_storage_calls_in_flight", "Calls that wait for the storage or are being done by it.");
        let family = gauges(registry, about, "call")?;
        Ok(Self { table, in_flight: CALLS.iter().map(|call| family.with_label_values(&[call])).collect() })
    }

    fn begin(self: &Arc<Self>, call: Call) -> InFlight {
        self.in_flight.get(call as usize).inspect(|gauge| gauge.inc());
        InFlight { calls: self.clone(), call, started: Instant::now(), outcome: None }
    }
}

/// A call, until it is dropped.
struct InFlight {
    calls: Arc<StorageCalls>,
    call: Call,
    started: Instant,
    outcome: Option<usize>,
}

impl InFlight {
    /// Runs to the call's end.
    async fn until<T>(mut self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let part = CALLS.get(self.call as usize).map_or_else(Span::none, |name| trace::part(name));
        let result = call.instrument(part).await;
        self.ended(result.as_ref().err());
        result
    }

    fn ended(&mut self, error: Option<&Error>) {
        self.outcome = Some(error.map_or(OK, outcome));
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.calls.in_flight.get(self.call as usize).inspect(|gauge| gauge.dec());
        let outcome = self.outcome.unwrap_or_else(|| self.calls.table.abandoned());
        self.calls.table.observe(self.call as usize, outcome, self.started);
    }
}

/// A storage whose calls are measured.
#[derive(Debug)]
pub(crate) struct Measured {
    inner: Arc<dyn Storage>,
    calls: Arc<StorageCalls>,
}

impl Measured {
    /// Measures a storage.
    pub(crate) fn new(inner: Arc<dyn Storage>, calls: Arc<StorageCalls>) -> Arc<Self> {
        Arc::new(Self { inner, calls })
    }
}

#[async_trait]
impl Storage for Measured {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, name: &ObjectName) -> Result<Option<Stored>> {
        self.calls.begin(Call::Get).until(self.inner.get(name)).await
    }

    async fn head(&self, name: &ObjectName) -> Result<Option<StoredHead>> {
        self.calls.begin(Call::Head).until(self.inner.head(name)).await
    }

    async fn put(&self, name: &ObjectName, object: &Object, expect: &Expect) -> Result<Revision> {
        self.calls.begin(Call::Put).until(self.inner.put(name, object, expect)).await
    }

    async fn delete(&self, name: &ObjectName, expect: &Expect) -> Result<()> {
        self.calls.begin(Call::Delete).until(self.inner.delete(name, expect)).await
    }

    async fn write_batch(&self, writes: Vec<Write>) -> Result<Vec<Result<Option<Revision>>>> {
        let mut batch = self.calls.begin(Call::WriteBatch);
        let results = self.inner.write_batch(writes).await;
        match &results {
            // The worst of its parts is what became of it.
            Ok(parts) => {
                batch.ended(parts.iter().filter_map(|part| part.as_ref().err()).max_by_key(|part| outcome(part)))
            }
            Err(error) => batch.ended(Some(error)),
        }
        results
    }

    fn list(&self, space: Space, group: &Group) -> BoxStream<'_, Result<Listed>> {
        let state = (self.inner.list(space, group), self.calls.begin(Call::List));
        let counted = stream::unfold(state, |(mut listed, mut call)| async move {
            let item = listed.next().await;
            match &item {
                Some(Ok(_)) => {}
                Some(Err(error)) => call.ended(Some(error)),
                None => call.outcome = call.outcome.or(Some(OK)),
            }
            Some((item?, (listed, call)))
        });
        counted.boxed()
    }

    async fn groups(&self, space: Space) -> Result<Vec<Group>> {
        self.calls.begin(Call::Groups).until(self.inner.groups(space)).await
    }

    async fn quarantine(&self, name: &ObjectName) -> Result<()> {
        self.calls.begin(Call::Quarantine).until(self.inner.quarantine(name)).await
    }

    async fn ready(&self) -> Result<()> {
        self.inner.ready().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[cfg(test)]
mod tests {
    use delta_core::builtin::memory::MemoryStorage;
    use delta_core::conformance::storage::Fixture;
    use delta_core::conformance::{id, names, object};
    use prometheus::TextEncoder;

    use super::*;

    struct MeasuredMemory;

    impl Fixture for MeasuredMemory {
        async fn new() -> Self {
            Self
        }

        async fn open(&self) -> Arc<dyn Storage> {
            let calls = StorageCalls::new(&Registry::new()).unwrap();
            Measured::new(Arc::new(MemoryStorage::new()), Arc::new(calls))
        }
    }

    delta_core::conformance::storage!(MeasuredMemory);

    #[tokio::test]
    async fn every_call_is_counted_by_what_became_of_it() {
        let registry = Registry::new();
        let calls = Arc::new(StorageCalls::new(&registry).unwrap());
        let storage = Measured::new(Arc::new(MemoryStorage::new()), calls);
        let name = names().entity(&id("db", "k")).object;
        storage.put(&name, &object(1, 8), &Expect::Absent).await.unwrap();
        storage.put(&name, &object(2, 8), &Expect::Absent).await.unwrap_err();
        let write = |expect| Write { name: name.clone(), object: None, expect };
        storage.write_batch(vec![write(Expect::Absent)]).await.unwrap();
        storage.write_batch(vec![write(Expect::Anything)]).await.unwrap();
        assert_eq!(storage.list(Space::Entities, &name.group).count().await, 0);
        drop(storage.list(Space::Entities, &name.group));
        storage.close().await.unwrap();
        storage.delete(&name, &Expect::Anything).await.unwrap_err();
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for (call, outcome, count) in [
            ("put", "ok", 1),
            ("put", "conflict", 1),
            ("write_batch", "conflict", 1),
            ("write_batch", "ok", 1),
            ("list", "ok", 1),
            ("list", "none", 1),
            ("delete", "failed", 1),
        ] {
            let line = format!(
                "deltadb_storage_call_duration_seconds_count{{call=\"{call}\",outcome=\"{outcome}\"}} {count}\n"
            );
            assert!(text.contains(&line), "{line}{text}");
        }
        assert!(text.contains("deltadb_storage_calls_in_flight{call=\"put\"} 0\n"), "{text}");
    }
}
