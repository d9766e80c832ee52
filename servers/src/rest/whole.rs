//! The read of a whole entity, past the API's router: nothing is asked for so often, and on the router's way a request moves
//! through futures of kilobytes, and each of its parts becomes a text of its own.
//!
//! The surprise: this takes only a request that says no more than which entity, for whom and under which conditions, and is
//! plainly written. The router answers every other one, and would answer these in the same way: a test holds them together.

use std::net::SocketAddr;
use std::sync::Arc;

use delta_core::Result;
use delta_core::name::{DatabaseName, EntityId, EntityKey};
use http::{HeaderMap, Method, header};
use poem::{IntoResponse, Request, Response};

use crate::app::App;
use crate::metrics::Route;
use crate::rest::got::Got;
use crate::rest::problem::Problem;

/// What such a request is counted as.
const OPERATION: Route = Route::Operation("getEntity");

/// A read of a whole entity.
pub(crate) struct Whole {
    headers: HeaderMap,
    peer: Option<SocketAddr>,
    id: Result<EntityId>,
}

impl Whole {
    /// The read that a request is, if it is plainly written; its headers are taken out then.
    pub(crate) fn of(request: &mut Request) -> Option<Self> {
        let (uri, headers) = (request.uri(), request.headers());
        let (database, key) = uri.path().strip_prefix("/entity/")?.split_once('/')?;
        let plain = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
        };
        let is_plain = request.method() == Method::GET && uri.query().is_none() && plain(database) && plain(key);
        if !is_plain || bearer(headers).is_none() {
            return None;
        }
        let id = DatabaseName::parse(database).and_then(|name| Ok(EntityId::new(name, EntityKey::parse(key)?)));
        let peer = request.remote_addr().as_socket_addr().copied();
        Some(Self { headers: std::mem::take(request.headers_mut()), peer, id })
    }

    /// The answer.
    pub(crate) async fn answer(self, app: Arc<App>) -> (Route, Response) {
        let answer = match self.read(&app).await {
            Ok(got) => got.into_response(),
            Err(error) => Problem::from(error).into_response(),
        };
        (OPERATION, answer)
    }

    async fn read(self, app: &App) -> Result<Got> {
        let from = app.client(self.peer, &self.headers);
        let caller = app.authenticate(bearer(&self.headers).unwrap_or_default(), from).await?;
        Got::new(app.entities.get(&caller, &self.id?).await?, None, &self.headers)
    }
}

/// The token of the only `Authorization` header, as nearly every client writes it.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let token = given.next()?.to_str().ok()?.strip_prefix("Bearer ")?;
    let is_plain = given.next().is_none() && !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain.then_some(token)
}
