//! Logging in, and what the server makes of a credential.

use std::sync::Arc;

use delta_core::Error;
use delta_core::auth::{Permission, Principal};
use delta_core::keys::SecretText;
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use serde::Deserialize;

use crate::app::App;
use crate::rest::Tag;
use crate::rest::body::JsonBody;
use crate::rest::caller::Caller;
use crate::rest::problem::Problem;

/// A credential to log in with: `key`, or under `--dev` a `client_id`.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct LoginRequest {
    /// The admin key.
    #[serde(default)]
    key: Option<String>,
    /// A name for the session; enough by itself only on a development server.
    #[serde(default)]
    client_id: Option<String>,
}

/// A session.
#[derive(Object)]
pub(crate) struct LoginResult {
    /// The token to send as `Authorization: Bearer …`.
    token: String,
    /// Who the session stands for.
    client_id: String,
    /// When it ends, in RFC 3339.
    expires_at: String,
    /// What it allows: `read`, `write`, `admin`.
    permissions: Vec<String>,
}

/// A limit of a credential to some databases.
#[derive(Object)]
#[oai(rename = "Scope")]
pub(crate) struct ScopeBody {
    /// A database, or the beginning of some followed by `*`.
    database: String,
    /// What is allowed there: `read`, `write`, `schema`.
    actions: Vec<String>,
}

/// What the server makes of a credential.
#[derive(Object)]
pub(crate) struct Me {
    /// Who it stands for.
    client_id: String,
    /// What it allows: `read`, `write`, `admin`.
    permissions: Vec<String>,
    /// Whether it is an administrator's.
    is_admin: bool,
    /// Where; everywhere when empty.
    scopes: Vec<ScopeBody>,
}

/// Sessions.
pub(crate) struct SessionApi;

#[OpenApi(tag = "Tag::Sessions")]
impl SessionApi {
    /// Log in
    ///
    /// Exchanges a key for a session token. Programs need no session: they send their key with every request.
    #[oai(path = "/api/login", method = "post", operation_id = "login")]
    async fn login(&self, app: Data<&Arc<App>>, body: JsonBody<LoginRequest>) -> Result<Json<LoginResult>, Problem> {
        let request = body.parse().await?;
        let session = match (request.key, request.client_id) {
            (Some(key), _) => app.sessions.login(&SecretText::new(key))?,
            (None, Some(client_id)) => app.sessions.login_client(&client_id)?,
            (None, None) => {
                return Err(Error::invalid("missing_key", "the body needs a key: {\"key\": \"…\"}").into());
            }
        };
        Ok(Json(LoginResult {
            token: session.token.expose().to_owned(),
            permissions: permissions(&session.who),
            client_id: session.who.client_id,
            expires_at: session.expires.to_string(),
        }))
    }

    /// Who am I
    #[oai(path = "/api/me", method = "get", operation_id = "me")]
    async fn me(&self, caller: Caller) -> Result<Json<Me>, Problem> {
        let who = caller.0;
        let scope = |scope: &delta_core::auth::Scope| ScopeBody {
            database: scope.database.clone(),
            actions: scope.actions.iter().map(|action| action.as_str().to_owned()).collect(),
        };
        Ok(Json(Me {
            permissions: permissions(&who),
            is_admin: who.is_admin(),
            scopes: who.scopes.iter().map(scope).collect(),
            client_id: who.client_id,
        }))
    }
}

fn permissions(who: &Principal) -> Vec<String> {
    who.permissions.iter().copied().map(Permission::as_str).map(str::to_owned).collect()
}
