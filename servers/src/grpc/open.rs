//! What needs no credential: health and reflection.
//!
//! A service is healthy while the storage answers, looked at now and then for all who ask or watch. When the server stops,
//! watchers are told so and their streams end, so that none of them holds the server up.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

use crate::app::App;
use crate::grpc::api;
use crate::grpc::call::SERVICES;

/// How often the storage is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// The open services; health ends with `stop`.
pub(crate) async fn open(app: Arc<App>, stop: CancellationToken) -> Result<Routes> {
    let (reporter, health) = health_reporter();
    report(&reporter, serving(&app).await).await;
    tokio::spawn(follow(app, reporter, stop));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(api::DESCRIPTOR)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = Routes::new(health).add_service(reflection().build_v1()?);
    Ok(routes.add_service(reflection().build_v1alpha()?))
}

async fn follow(app: Arc<App>, mut reporter: HealthReporter, stop: CancellationToken) {
    let mut known = None;
    while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        let now = serving(&app).await;
        // A status that is set again wakes every watcher.
        if known.replace(now) != Some(now) {
            report(&reporter, now).await;
        }
    }
    report(&reporter, ServingStatus::NotServing).await;
    for service in all() {
        reporter.clear_service_status(service).await;
    }
}

async fn serving(app: &App) -> ServingStatus {
    match app.engine.ready().await {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    }
}

async fn report(reporter: &HealthReporter, status: ServingStatus) {
    for service in all() {
        reporter.set_service_status(service, status).await;
    }
}

/// The services that have a health, and the whole server, whose name is empty.
fn all() -> impl Iterator<Item = &'static str> {
    [""].into_iter().chain(SERVICES)
}
