//! A main and one worker, against one process over the same kind of storage; and a worker's stream alone, against tonic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use delta_server::grpc_api::delta::v1::GetEntityRequest;
use delta_server::grpc_api::delta::v1::entities_client::EntitiesClient;
use delta_server::hop::Hop;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

use crate::bare_grpc;
use crate::compare::get::{CACHED, fill};
use crate::compare::{Bench, CONNECTIONS, DOCUMENT_BYTES, Side, alternate, p50_micros, per_second};
use crate::process::{Server, free_address};
use crate::request::document;
use crate::stats::median;
use crate::table::{Row, Target};

/// Reads or calls in flight on the one connection.
const IN_FLIGHT: usize = 64;
/// A latency depends on which processors the threads happen to run on, so turns are short and many.
const TURNS_A_ROUND: usize = 3;
/// How long the bare service may take to listen.
const START_MAX: Duration = Duration::from_secs(10);

/// GET and PUT at 1 and at 64 connections, and the stream.
pub(crate) fn compare(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = vec![hop(bench)?];
    let [of_main, of_serve] = ["cluster-main", "cluster-serve"].map(|name| bench.fresh(name));
    let main = Server::deltadb_cluster(&bench.deltadb, &of_main?)?;
    let serve = Server::deltadb_on_fs(&bench.deltadb, &of_serve?)?;
    fill(&main)?;
    fill(&serve)?;
    let pace = bench.pace.split(TURNS_A_ROUND);
    for (what, side) in [("cached GET", Side::get as fn(_, _) -> _), ("durable PUT", Side::put)] {
        let (mut ours, mut other): (Side<'_>, Side<'_>) = (side(&main, CACHED)?, side(&serve, CACHED)?);
        let [alone, alone_other] = alternate(pace, [&mut ours, &mut other], 1)?;
        rows.push(Row::ratio(
            format!("main and a worker, 1 connection: {what}, p50"),
            (p50_micros(&alone), "µs"),
            (p50_micros(&alone_other), "µs serve"),
            Target::AtMost(2.0),
        ));
        let [many, many_other] = alternate(bench.pace, [&mut ours, &mut other], CONNECTIONS)?;
        rows.push(Row::ratio(
            format!("main and a worker, 64 connections: {what}"),
            (per_second(&many), "/s"),
            (per_second(&many_other), "/s serve"),
            Target::AtLeast(0.5),
        ));
    }
    Ok(rows)
}

/// A task and its answer on a worker's stream, against a call of tonic's.
fn hop(bench: &Bench) -> Result<Row> {
    println!("hop:");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let hop = Arc::new(runtime.block_on(Hop::open(&document(DOCUMENT_BYTES)))?);
    let client = runtime.block_on(bare())?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..bench.pace.rounds {
        let hop = hop.clone();
        ours.push(turn(&runtime, bench.pace.seconds, move || {
            let hop = hop.clone();
            async move { hop.get().await }
        })?);
        let client = client.clone();
        bare.push(turn(&runtime, bench.pace.seconds, move || {
            let mut client = client.clone();
            let asked = GetEntityRequest { database: "bench".into(), key: "k000000000".into(), ..Default::default() };
            async move { Ok(client.get(asked).await?.into_inner().document.len()) }
        })?);
        println!("  stream {:>8.0}/s   tonic {:>8.0}/s", ours.last().unwrap_or(&0.0), bare.last().unwrap_or(&0.0));
    }
    let (ours, bare) = ((median(ours), "/s"), (median(bare), "/s unary tonic"));
    Ok(Row::ratio("a worker's stream, 64 in flight on 1 connection, 300 B", ours, bare, Target::AtLeast(1.0)))
}

/// A client of a bare service in this process.
async fn bare() -> Result<EntitiesClient<Channel>> {
    let addr = free_address()?;
    tokio::spawn(bare_grpc::serve(addr, DOCUMENT_BYTES));
    let until = Instant::now() + START_MAX;
    loop {
        match Endpoint::from_shared(format!("http://{addr}"))?.connect().await {
            Ok(channel) => return Ok(EntitiesClient::new(channel)),
            Err(error) if Instant::now() > until => return Err(error.into()),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// How many come back in a second.
fn turn<F, R>(runtime: &Runtime, seconds: f64, get: F) -> Result<f64>
where
    F: Fn() -> R + Clone + Send + 'static,
    R: Future<Output = Result<usize>> + Send + 'static,
{
    let (start, end) = (Instant::now(), Instant::now() + Duration::from_secs_f64(seconds));
    let done = Arc::new(AtomicU64::new(0));
    let asking: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let (get, done) = (get.clone(), done.clone());
            runtime.spawn(async move {
                while Instant::now() < end {
                    ensure!(get().await? == DOCUMENT_BYTES, "another document");
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        })
        .collect();
    runtime.block_on(async {
        for one in asking {
            one.await??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    Ok(done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}
