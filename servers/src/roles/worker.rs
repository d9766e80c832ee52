//! `deltadb worker`: dials a main, and does the work over a store that both can open.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use delta_core::storage::Storage;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::cli::print_line;
use crate::cli::worker::WorkerArgs;
use crate::cluster::worker::{self, Join, Link, Papers, Parts, Standing};
use crate::config::Config;
use crate::listen::{self, Front};
use crate::metrics::{Measured, OfWorker};
use crate::otlp::Otlp;
use crate::roles::{harden, serve, store};
use crate::telemetry;

/// Runs until it is told to stop.
pub(crate) fn run(args: WorkerArgs) -> Result<()> {
    let (file, flags) = args.split();
    let config = Config::load_worker(file.as_deref(), flags)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().on_thread_stop(harden::wipe_stack).build().context("cannot start threads")?;
    let inside = runtime.enter();
    let otlp = Otlp::start(config.otlp_endpoint.as_deref())?;
    drop(inside);
    telemetry::start(config.log_format, otlp.as_ref());
    harden::no_core_dumps();
    let worked = runtime.block_on(work(config));
    harden::wipe_stack();
    if let Some(otlp) = otlp {
        otlp.stop();
    }
    worked
}

async fn work(config: Config) -> Result<()> {
    let stop_signal = serve::stop_signal()?;
    let worker = config.writer();
    let papers = Papers::new(&config)?;
    let join = match &config.join_token_file {
        Some(file) => Join::File(file.clone()),
        None if config.dev => Join::Dev,
        None if papers.show_certificate() => Join::Nowhere,
        None => bail!(
            "a worker needs the join token of its main, or a certificate: give --join-token-file FILE, or --cluster-cert \
             and --cluster-key, or --dev to both"
        ),
    };
    let mains = config.mains()?;
    let link = |main: &&str| Link::new(main, papers.clone(), config.insecure_cluster, join.clone(), worker.clone());
    let links = mains.iter().map(link).collect::<Result<Vec<_>>>()?;
    let validator = serve::validator(&config)?;
    let (storage, place) = store::open_place(&config).await?;
    if !storage.capabilities().shared {
        bail!("only one process can open the store in {place}; give worker and main the same --shared-fs DIR");
    }
    let metrics = OfWorker::new()?;
    let storage: Arc<dyn Storage> = Measured::new(storage, metrics.storage.clone());
    let front = Front::new(&config)?;
    let health = front.bind(config.grpc_addr, "--grpc-addr").await?;
    print_line(&format!("Health:    {}  (gRPC)", health.url()));
    print_line(&format!("Data:      {place}"));
    let (reporter, service) = tonic_health::server::health_reporter();
    let standing = Arc::new(Standing::new(reporter).await);
    let (work, stop) = (metrics.work.clone(), CancellationToken::new());
    let page = match config.metrics_addr {
        Some(address) => {
            let door = front.bind(address, "--metrics-addr").await?;
            print_line(&format!("Metrics:   {}/metrics", door.url()));
            let page = metrics.page(standing.clone(), &config.storage.plugin, &front)?;
            Some(tokio::spawn(listen::serve_http1(door, page, stop.clone())))
        }
        None => None,
    };
    let health = tokio::spawn(listen::serve_http2(health, Routes::new(service).prepare(), stop.clone()));
    let parts = Parts { storage: storage.clone(), validator, limits: config.engine_limits(), worker, standing, work };
    let signalled = stop.clone();
    tokio::spawn(async move {
        stop_signal.await;
        tracing::info!("stopping: no new tasks, those at work are ended");
        signalled.cancel();
    });
    let worked = worker::run(links, parts, stop.clone()).await;
    stop.cancel();
    health.await??;
    if let Some(page) = page {
        page.await??;
    }
    storage.close().await?;
    worked
}
