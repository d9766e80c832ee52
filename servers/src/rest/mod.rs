//! REST: a skin over [`Entities`] and the store's schemas. Handlers parse names, ask, and answer; logic lives in core.

mod body;
mod caller;
mod entity;
mod health;
mod methods;
mod pages;
mod param;
mod problem;
mod query;
pub(crate) mod refusal;
mod schema;
mod session;
mod store;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use delta_core::Error;
use delta_core::auth::Auth;
use delta_core::builtin::sessions::Sessions;
use delta_core::clock::{Clock, Timestamp};
use delta_core::engine::Engine;
use delta_core::entities::Entities;
use delta_core::keyring::Keyring;
use delta_core::name::WriterId;
use futures::FutureExt;
use methods::Methods;
use pages::Pages;
use poem::endpoint::BoxEndpoint;
use poem::{Endpoint, IntoEndpoint, IntoResponse, Request, Response};
use poem_openapi::{OpenApiService, Tags};

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
        Ok(app.ok_or_else(|| Problem::from(Error::internal("a route without its app")))?)
    }
}

/// The groups of the document.
#[derive(Debug, Tags)]
enum Tag {
    /// Documents, by database and key.
    Entities,
    /// The store as a whole, and who serves it.
    Store,
    /// What documents are checked against.
    Schemas,
    /// Who is asking.
    Sessions,
    /// Whether the server can do its work.
    Health,
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
///
/// The pages are told apart here and not by a router, which would take each request's address apart and put it together
/// again before the API's own router sees it.
pub(crate) struct Rest {
    api: BoxEndpoint<'static>,
    pages: Pages,
    methods: Methods,
    app: Arc<App>,
}

impl Rest {
    /// The routes of an app.
    pub(crate) fn new(app: Arc<App>) -> Self {
        let service = service();
        let document = document();
        let methods = Methods::of(&document);
        let pages = Pages::new(service.swagger_ui_html(), document);
        Self { api: service.into_endpoint(), pages, methods, app }
    }
}

impl Endpoint for Rest {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        if let Some(page) = self.pages.find(&request) {
            return Ok(page);
        }
        if let Err(error) = query::check(request.uri().query()) {
            return Ok(Problem::from(error).into_response());
        }
        request.set_data(self.app.clone());
        let uri = request.uri().clone();
        // A fault in one request must not take its connection's other requests with it.
        match AssertUnwindSafe(self.api.call(request)).catch_unwind().await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_from_response() => Ok(error.into_response()),
            Ok(Err(error)) => Ok(Problem::from_poem(&error, self.methods.allowed(uri.path())).into_response()),
            Err(_) => Ok(Problem::from(Error::internal("a request's handler panicked")).into_response()),
        }
    }
}
