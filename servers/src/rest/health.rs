//! Whether the process lives and can do its work; no credential is needed.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};

use crate::app::App;
use crate::rest::Tag;
use crate::rest::entity::Status;

/// Whether requests can be served.
#[derive(Object)]
pub(crate) struct Readiness {
    /// `ok` or `unavailable`.
    status: String,
    /// Why not.
    reasons: Vec<String>,
}

/// Whether requests can be served.
#[derive(ApiResponse)]
pub(crate) enum ReadyResponse {
    /// They can.
    #[oai(status = 200)]
    Ready(Json<Readiness>),
    /// They cannot, for these reasons.
    #[oai(status = 503)]
    NotReady(Json<Readiness>),
}

/// Health.
pub(crate) struct HealthApi;

#[OpenApi(tag = "Tag::Health")]
impl HealthApi {
    /// The process answers
    #[oai(path = "/health", method = "get", operation_id = "health")]
    async fn health(&self) -> Json<Status> {
        Status::ok()
    }

    /// The process lives
    #[oai(path = "/health/live", method = "get", operation_id = "live")]
    async fn live(&self) -> Json<Status> {
        Status::ok()
    }

    /// Requests can be served
    #[oai(path = "/health/ready", method = "get", operation_id = "ready")]
    async fn ready(&self, app: Data<&Arc<App>>) -> ReadyResponse {
        match app.ready().await {
            Ok(()) => ReadyResponse::Ready(Json(Readiness { status: "ok".into(), reasons: Vec::new() })),
            Err(error) => {
                let reasons = vec![error.to_string()];
                ReadyResponse::NotReady(Json(Readiness { status: "unavailable".into(), reasons }))
            }
        }
    }
}
