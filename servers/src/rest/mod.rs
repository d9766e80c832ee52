//! REST: a skin over [`Entities`] and the store's schemas. Handlers parse names, ask, and answer; logic lives in core.

mod api_key;
mod body;
mod caller;
mod conditions;
mod cors;
mod database;
mod entity;
mod entity_map;
mod got;
mod health;
mod methods;
mod pages;
mod param;
mod patch;
mod problem;
mod query;
pub(crate) mod refusal;
mod schema;
mod session;
mod store;
mod whole;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use delta_core::{Error, ErrorKind};
use futures::FutureExt;
use futures::future::{BoxFuture, Either};
use http::{HeaderValue, Uri};
use methods::Methods;
use pages::Pages;
use poem::endpoint::{BoxEndpoint, DynEndpoint};
use poem::{Endpoint, IntoEndpoint, IntoResponse, Request, Response};
use poem_openapi::{OpenApiService, OperationId, Tags};
use tracing::Instrument;

use crate::app::App;
use crate::metrics::Route;
use crate::trace;

pub(crate) use cors::Origins;
use problem::Problem;
use whole::Whole;

/// The app behind a request.
fn app_of(request: &Request) -> poem::Result<&Arc<App>> {
    let app = request.data::<Arc<App>>();
    Ok(app.ok_or_else(|| Problem::from(Error::internal("a route without its app")))?)
}

/// The groups of the document.
#[derive(Debug, Tags)]
enum Tag {
    /// Documents, by database and key.
    Entities,
    /// Databases as a whole: their keys, settings and drops.
    Databases,
    /// The store as a whole, and who serves it.
    Store,
    /// What documents are checked against.
    Schemas,
    /// Who is asking.
    Sessions,
    /// Credentials for programs.
    Keys,
    /// Whether the server can do its work.
    Health,
}

type Api = (
    entity::EntityApi,
    entity_map::EntityMapApi,
    database::DatabaseApi,
    schema::SchemaApi,
    session::SessionApi,
    api_key::ApiKeyApi,
    store::StoreApi,
    health::HealthApi,
);

fn service() -> OpenApiService<Api, ()> {
    let api: Api = (
        entity::EntityApi,
        entity_map::EntityMapApi,
        database::DatabaseApi,
        schema::SchemaApi,
        session::SessionApi,
        api_key::ApiKeyApi,
        store::StoreApi,
        health::HealthApi,
    );
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
    origins: Origins,
    app: Arc<App>,
}

impl Rest {
    /// The routes of an app.
    pub(crate) fn new(app: Arc<App>, origins: Origins) -> Self {
        let service = service();
        let document = document();
        let methods = Methods::of(&document);
        let pages = Pages::new(service.swagger_ui_html(), document);
        Self { api: service.into_endpoint(), pages, methods, origins, app }
    }
}

/// How an answer comes about.
enum Answer<R, W> {
    /// It is there.
    Ready((Route, Response)),
    /// By a read of a whole entity.
    Whole(W),
    /// By the API's router.
    Routed(R),
}

impl Endpoint for Rest {
    type Output = Response;

    /// What needs the request happens before the future begins: a request is large, and would be moved into it.
    fn call(&self, mut request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        let span = trace::request(request.headers(), request.method().is_safe());
        let in_flight = self.app.requests.begin(request.method(), request.uri());
        let origin = self.origins.allowed(&request);
        let answer = match (self.ready(&request, origin.as_ref()), Whole::of(&mut request)) {
            (Some(ready), _) => Answer::Ready(ready),
            (None, Some(read)) => Answer::Whole(read.answer(self.app.clone())),
            (None, None) => {
                request.set_data(self.app.clone());
                Answer::Routed(DynEndpoint::call(&*self.api, request))
            }
        };
        let of = span.clone();
        let counted = async move {
            let (route, answer) = match answer {
                Answer::Ready(ready) => ready,
                Answer::Whole(read) => caught(read).await.unwrap_or_else(panicked),
                Answer::Routed(answer) => self.answered(answer, in_flight.uri()).await,
            };
            let answer = origin.iter().fold(answer, Origins::mark);
            let status = answer.status();
            trace::answered(
                &of,
                format_args!("{} {}", in_flight.method(), in_flight.route(route)),
                ("http.response.status_code", status.as_u16().into()),
                status.is_server_error(),
            );
            in_flight.answered(route, status, answer.data() == Some(&ErrorKind::OutcomeUnknown));
            Ok(answer)
        };
        // A span that is none costs nothing on the way, and neither does this.
        if span.is_none() { Either::Left(counted) } else { Either::Right(counted.instrument(span)) }
    }
}

impl Rest {
    /// The answer to what is no request of the API, and what it was for.
    fn ready(&self, request: &Request, origin: Option<&HeaderValue>) -> Option<(Route, Response)> {
        if let Some(preflight) = origin.and_then(|_| Origins::preflight(request)) {
            return Some((Route::Other, preflight));
        }
        if let Some(page) = self.pages.find(request) {
            return Some((Route::Page, page));
        }
        let refused = query::check(request.uri().query()).err()?;
        Some((Route::Other, Problem::from(refused).into_response()))
    }

    /// The API's answer, and what the request was for.
    async fn answered(&self, answer: BoxFuture<'_, poem::Result<Response>>, uri: &Uri) -> (Route, Response) {
        let route = |operation: Option<&OperationId>| operation.map_or(Route::Other, |id| Route::Operation(id.0));
        match caught(answer).await {
            Some(Ok(response)) => (route(response.data()), response),
            Some(Err(error)) if error.is_from_response() => (route(error.data()), error.into_response()),
            Some(Err(error)) => {
                let problem = Problem::from_poem(&error, self.methods.allowed(uri.path()));
                (route(error.data()), problem.into_response())
            }
            None => panicked(),
        }
    }
}

/// What a future gives; `None` if it panicked: a fault in one request must not take its connection's others with it.
async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(future).catch_unwind().await.ok()
}

fn panicked() -> (Route, Response) {
    (Route::Other, Problem::from(Error::internal("a request's handler panicked")).into_response())
}
