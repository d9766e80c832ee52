//! What needs no credential: health and reflection.
//!
//! A service is healthy while the storage answers, looked at now and then for all who ask or watch. When the server stops,
//! watchers are told so, and every stream ends, so that none of them holds the server up.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::Request;
use hyper::body::{Body as HttpBody, Frame};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

use crate::app::App;
use crate::grpc::api;
use crate::grpc::call::SERVICES;

/// How often the storage is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// The open services.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    routes: Routes,
    stop: CancellationToken,
}

impl Open {
    /// Health and reflection of an app until `stop`.
    pub(crate) async fn new(app: Arc<App>, stop: CancellationToken) -> Result<Self> {
        let (reporter, health) = health_reporter();
        report(&reporter, serving(&app).await).await;
        tokio::spawn(follow(app, reporter, stop.clone()));
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(api::DESCRIPTOR)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let routes = Routes::new(health).add_service(reflection().build_v1()?);
        let routes = routes.add_service(reflection().build_v1alpha()?).prepare();
        Ok(Self { routes, stop })
    }

    /// Answers a call; one of no service is `UNIMPLEMENTED`.
    pub(crate) async fn call(&self, request: Request<Body>) -> http::Response<Body> {
        let stop = Box::pin(self.stop.clone().cancelled_owned());
        let request = request.map(|body| Body::new(UntilStop { body, stop }));
        self.routes.clone().call(request).await.unwrap_or_else(|never| match never {})
    }
}

/// What a client streams, which ends when the server stops: a client may leave its stream open for as long as it likes.
struct UntilStop {
    body: Body,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl HttpBody for UntilStop {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        match this.stop.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => Pin::new(&mut this.body).poll_frame(cx),
        }
    }
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
    match app.ready().await {
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
