//! Who is asking: the first thing every protected route finds out, before it reads a body.

use delta_core::auth::Principal;
use poem::Request;
use poem_openapi::SecurityScheme;
use poem_openapi::auth::Bearer;

use crate::rest::app_of;
use crate::rest::problem::Problem;

/// The admin key or a session token, as `Authorization: Bearer …`.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", rename = "bearer", checker = "authenticate")]
pub(crate) struct Caller(pub(crate) Principal);

async fn authenticate(request: &Request, bearer: Bearer) -> poem::Result<Principal> {
    let from = request.remote_addr().as_socket_addr().map(std::net::SocketAddr::ip);
    Ok(app_of(request)?.authenticate(&bearer.token, from).await.map_err(Problem::from)?)
}
