//! What makes a main of a server: who may take part, and workers in the place of its own engine.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use delta_core::builtin::admin_key::AdminKey;
use delta_core::clock::Clock;
use delta_core::engine::Engine;
use delta_core::entities::Entities;

use crate::app::App;
use crate::cli::print_line;
use crate::cluster::join::{self, JoinToken};
use crate::cluster::main::{Cluster, Router, Terms};
use crate::config::Config;
use crate::listen;
use crate::listen::peer::Authority;
use crate::metrics::Work;
use crate::roles::Role;
use crate::roles::store::Store;

/// How much of a request's time a worker has: the rest is for telling the client.
const PATIENCE: f32 = 0.9;
/// How often it is looked whether calls are being answered, while the server stops.
const IDLE_POLL: Duration = Duration::from_millis(5);

/// What a process was started as, and the port on which workers would find it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartedAs {
    pub(crate) role: Role,
    pub(crate) port: u16,
}

/// The workers of a main, who are all to come yet; none for a process that does the work itself.
pub(crate) fn of(
    config: &Config,
    admin: &AdminKey,
    store: &Store,
    clock: &Arc<dyn Clock>,
    started_as: StartedAs,
) -> Result<Option<Arc<Cluster>>> {
    if started_as.role == Role::Serve || !store.storage.capabilities().shared {
        return Ok(None);
    }
    let token = match &config.join_token_file {
        Some(file) => Some(join::read(file)?),
        None if config.dev => Some(join::leave_dev(started_as.port)?),
        None if config.cluster_ca.is_some() => None,
        // Nobody can take part, so there is nobody to leave the work to.
        None => return Ok(None),
    };
    if token.as_ref().is_some_and(|token| admin.is(token)) {
        bail!("the join token is the admin key, and whoever holds the one must not have the other; make another token");
    }
    let terms = Terms {
        join: token.as_ref().map(JoinToken::new),
        keys: store.keys(),
        store: store.keyring.store(),
        ttl: config.worker_ttl.0,
        insecure: config.insecure_cluster,
    };
    Ok(Some(Cluster::new(terms, clock.clone())))
}

/// Whose certificates count as a worker's, at a main that was given an authority.
pub(crate) fn authority(config: &Config, role: Role) -> Result<Option<Authority>> {
    match &config.cluster_ca {
        Some(_) if role == Role::Main && config.tls_cert.is_none() => {
            bail!(
                "--cluster-ca is for certificates of workers, which are shown over TLS only; give --tls-cert and --tls-key"
            )
        }
        Some(file) if role == Role::Main => Authority::load(file).map(Some),
        _ => Ok(None),
    }
}

/// Who does what clients ask for.
pub(crate) fn entities(
    config: &Config,
    engine: &Engine,
    cluster: Option<&Arc<Cluster>>,
    work: &Arc<Work>,
) -> Arc<dyn Entities> {
    match cluster {
        Some(cluster) => {
            let patience = config.request_deadline.0.mul_f32(PATIENCE);
            Arc::new(Router::new(engine.clone(), cluster.roster().clone(), patience, work.clone()))
        }
        None => Arc::new(engine.clone()),
    }
}

/// Says who does the work, if that is a question.
pub(crate) fn announce(role: Role, cluster: Option<&Arc<Cluster>>) {
    match (role, cluster) {
        (Role::Serve, _) => {}
        (Role::Main, Some(_)) => print_line("Workers:   none yet; start them with deltadb worker"),
        (Role::Main, None) => {
            print_line(
                "Workers:   none, this process does the work itself; for workers give --shared-fs and --join-token-file",
            );
        }
    }
}

/// Lets the workers go, once no client waits for them any more.
pub(crate) async fn stop(app: &App) {
    let Some(cluster) = &app.cluster else { return };
    let idle = async {
        while app.calls.in_flight() > 0 {
            tokio::time::sleep(IDLE_POLL).await;
        }
    };
    drop(tokio::time::timeout(listen::DRAIN_DEADLINE, idle).await);
    cluster.stop();
}
