//! Who is asking: the first thing every protected route finds out, before it reads a body.

use delta_core::auth::{Credential, Principal, unauthorized};
use poem::Request;
use poem_openapi::SecurityScheme;
use poem_openapi::auth::Bearer;

use crate::rest::App;
use crate::rest::problem::Problem;

/// The admin key or a session token, as `Authorization: Bearer …`.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", rename = "bearer", checker = "authenticate")]
pub(crate) struct Caller(pub(crate) Principal);

async fn authenticate(request: &Request, bearer: Bearer) -> poem::Result<Principal> {
    let app = App::of(request)?;
    let credential = Credential::bearer(bearer.token);
    for auth in &app.auth {
        if let Some(principal) = auth.authenticate(&credential).await.map_err(Problem::from)? {
            return Ok(principal);
        }
    }
    Err(Problem::from(unauthorized("this credential is not known; check it, or log in again")).into())
}
