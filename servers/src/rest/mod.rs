//! REST: a skin over [`Entities`] and the store's schemas. Handlers parse names, ask, and answer; logic lives in core.

mod body;
mod caller;
mod entity;
mod health;
mod pages;
mod problem;
mod schema;
mod session;
mod store;

use std::sync::Arc;

use delta_core::auth::Auth;
use delta_core::builtin::sessions::Sessions;
use delta_core::clock::{Clock, Timestamp};
use delta_core::engine::Engine;
use delta_core::entities::Entities;
use delta_core::keyring::Keyring;
use delta_core::name::WriterId;
use poem::{Endpoint, EndpointExt, IntoResponse, Request, Route};
use poem_openapi::OpenApiService;

use problem::Problem;

/// What the routes work with.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) entities: Arc<dyn Entities>,
    pub(crate) engine: Engine,
    pub(crate) sessions: Arc<Sessions>,
    /// Asked in order until one knows the credential.
    pub(crate) auth: Vec<Arc<dyn Auth>>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) worker: WriterId,
    pub(crate) started: Timestamp,
    pub(crate) body_bytes_max: usize,
    pub(crate) document_depth_max: usize,
}

impl App {
    /// The app behind a request.
    pub(crate) fn of(request: &Request) -> poem::Result<&Arc<Self>> {
        let app = request.data::<Arc<Self>>();
        Ok(app.ok_or_else(|| Problem::from(delta_core::Error::internal("a route without its app")))?)
    }
}

type Api = (entity::EntityApi, store::StoreApi, schema::SchemaApi, session::SessionApi, health::HealthApi);

fn service() -> OpenApiService<Api, ()> {
    let api = (entity::EntityApi, store::StoreApi, schema::SchemaApi, session::SessionApi, health::HealthApi);
    OpenApiService::new(api, "DeltaDatabase", env!("CARGO_PKG_VERSION")).description(
        "An encrypted-at-rest JSON database. Every document is validated, sealed and durable before the answer.",
    )
}

/// The OpenAPI document, as JSON.
pub(crate) fn document() -> String {
    let mut text = service().spec();
    text.push('\n');
    text
}

/// Every route.
pub(crate) fn endpoint(app: Arc<App>) -> impl Endpoint {
    let service = service();
    Route::new()
        .at("/", poem::get(pages::landing))
        .at("/docs", poem::get(pages::docs).data(pages::Docs::new(service.swagger_ui_html())))
        .at("/openapi.json", poem::get(pages::openapi).data(pages::Document::new(document())))
        .nest("/", service)
        .data(app)
        .catch_all_error(|error: poem::Error| async move {
            if error.is_from_response() { error.into_response() } else { Problem::from_poem(&error).into_response() }
        })
}
