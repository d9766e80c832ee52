//! `deltadb serve`, one process that does it all; and `deltadb main`, which is the same but for the work itself, which its
//! workers do.

use std::sync::Arc;

use anyhow::{Context, Result};
use delta_core::auth::Auth;
use delta_core::builtin::admin_key::AdminKey;
use delta_core::builtin::api_keys::ApiKeys;
use delta_core::builtin::ledger::Ledger;
use delta_core::builtin::sessions::Sessions;
use delta_core::clock::{Clock, SystemClock};
use delta_core::engine::Engine;
use delta_core::plugin::{Settings, open_validator};
use delta_core::records::Records;
use delta_core::seal::Sealer;
use delta_core::storage::Space;
use delta_core::validator::Validator;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::cli::args::ServeArgs;
use crate::cli::print_line;
use crate::config::Config;
use crate::grpc::{Grpc, Open};
use crate::limiter::Limiter;
use crate::listen::Front;
use crate::metrics::{Measured, Metrics};
use crate::otlp::Otlp;
use crate::rest::Rest;
use crate::roles::cluster::StartedAs;
use crate::roles::store::Store;
use crate::roles::watch::Watch;
use crate::roles::{Role, cluster, harden, keys, store};
use crate::secrets::Secrets;
use crate::{listen, plugins, telemetry};

/// Runs until it is told to stop.
pub(crate) fn run(args: ServeArgs, role: Role) -> Result<()> {
    let (file, flags, secrets) = args.split();
    let config = match role {
        Role::Serve => Config::load(file.as_deref(), flags)?,
        Role::Main => Config::load_main(file.as_deref(), flags)?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let inside = runtime.enter();
    let otlp = Otlp::start(config.otlp_endpoint.as_deref())?;
    drop(inside);
    telemetry::start(config.log_format, otlp.as_ref());
    harden::no_core_dumps();
    let secrets = Secrets::load(secrets, file.as_deref())?;
    let served = runtime.block_on(serve(config, secrets, role));
    if let Some(otlp) = otlp {
        otlp.stop();
    }
    served
}

async fn serve(config: Config, secrets: Secrets, role: Role) -> Result<()> {
    // From here on a signal ends the process in order, however early it comes.
    let stop_signal = stop_signal()?;
    // Whatever can be refused without a store is refused before there is one.
    let admin = keys::given_admin(&config, &secrets)?;
    let validator = validator(&config)?;
    let workers = cluster::authority(&config, role)?;
    let front = Front::new(&config)?;
    let rest = front.bind(config.rest_addr, "--rest-addr").await?;
    let grpc = front.bind(config.grpc_addr, "--grpc-addr").await?.asking(workers);
    let (url, grpc_url) = (rest.url(), grpc.url());
    let page = match config.metrics_addr {
        Some(address) => Some(front.bind(address, "--metrics-addr").await?),
        None => None,
    };
    let metrics = Metrics::new(&crate::openapi())?;
    let mut store = store::open(&config, &secrets).await?;
    store.storage = Measured::new(store.storage, metrics.storage.clone());
    let storage = store.storage.clone();
    let (place, keys) = (store.place.clone(), store.keys());
    let started_as = StartedAs { role, port: grpc.port() };
    let app = app(&config, admin, validator, store, &metrics, started_as).await?;
    app.engine.resume_drops().await?;
    let pages = metrics.page(app.clone(), &front)?;
    print_line(&format!("REST:      {url}  (documentation at {url}/docs)"));
    print_line(&format!("gRPC:      {grpc_url}"));
    page.iter().for_each(|page| print_line(&format!("Metrics:   {}/metrics", page.url())));
    print_line(&format!("Data:      {place}"));
    cluster::announce(role, app.cluster.as_ref());
    if config.dev {
        print_line("Mode:      --dev: keys lie beside the data, and any client on this machine may log in by name");
    }

    let stop = CancellationToken::new();
    if config.multi_main {
        let (keyring, cluster) = (app.keyring.clone(), app.cluster.clone());
        let watch = Watch { config: config.clone(), storage: storage.clone(), keyring, keys, cluster };
        tokio::spawn(watch.follow(stop.clone()));
    }
    let open = Open::new(app.clone(), stop.clone()).await?;
    let calls = Grpc::new(app.clone(), open, config.grpc_max_recv_msg_size);
    let rest =
        tokio::spawn(listen::serve_http1(rest, Rest::new(app.clone(), config.cors_origin.clone()), stop.clone()));
    let page = page.map(|page| tokio::spawn(listen::serve_http1(page, pages, stop.clone())));
    let grpc = tokio::spawn(listen::serve_http2(grpc, calls, stop.clone()));
    stop_signal.await;
    tracing::info!("stopping: no new connections, requests in flight have {:?}", listen::DRAIN_DEADLINE);
    stop.cancel();
    rest.await??;
    cluster::stop(&app).await;
    grpc.await??;
    if let Some(page) = page {
        page.await??;
    }
    storage.close().await?;
    Ok(())
}

/// Puts the parts together: the one place that knows all of them.
async fn app(
    config: &Config,
    admin: Option<AdminKey>,
    validator: Arc<dyn Validator>,
    store: Store,
    metrics: &Metrics,
    started_as: StartedAs,
) -> Result<Arc<App>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let clients_allowed = admin.is_none();
    let admin = admin.map_or_else(|| keys::dev_admin(config), Ok)?;
    let cluster = cluster::of(config, &admin, &store, &clock, started_as)?;
    let sealer = Arc::new(Sealer::new(store.keyring.clone(), store.names, config.writer()));
    let records = Records::new(store.storage.clone(), sealer.clone(), clock.clone(), Space::Auth);
    let ledger = Arc::new(Ledger::open(records, clock.clone()).await?);
    let api_keys = ApiKeys::new(ledger.clone());
    let engine = Engine::new(store.storage, sealer, validator, clock.clone(), config.engine_limits());
    let entities = cluster::entities(config, &engine, cluster.as_ref(), &metrics.work);
    let ttl = config.client_ttl.0;
    let sessions = Arc::new(Sessions::new(store.keyring.clone(), admin.clone(), clients_allowed, ttl, ledger));
    // The admin key first: it is whatever the operator chose, and may look like one of the others.
    let auth: Vec<Arc<dyn Auth>> = vec![Arc::new(admin), sessions.clone(), Arc::new(api_keys.clone())];
    Ok(Arc::new(App {
        entities,
        engine,
        cluster,
        sessions,
        api_keys,
        limiter: Limiter::new(config.auth_failure_burst, config.auth_failure_rate),
        proxies: config.trusted_proxies.clone(),
        auth,
        keyring: store.keyring,
        started: clock.now(),
        clock,
        worker: config.writer(),
        role: started_as.role.name(),
        requests: metrics.requests.clone(),
        calls: metrics.calls.clone(),
        storage: config.storage.plugin.clone(),
        body_bytes_max: config.rest_max_body_size,
        document_depth_max: config.document_depth_max,
    }))
}

pub(super) fn validator(config: &Config) -> Result<Arc<dyn Validator>> {
    let (plugin, settings) = (config.validator.plugin.as_str(), config.validator.settings.clone());
    let opened = open_validator(plugin, Settings::new(settings));
    Ok(opened.map_err(|error| plugins::hint(error, "validator", plugin))?)
}

/// Ends with the first signal to stop; signals count from the moment this returns.
pub(super) fn stop_signal() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
