//! Logging in, and what the server makes of a credential.

use std::sync::Arc;

use delta_core::Error;
use delta_core::auth::Principal;
use delta_core::keys::SecretText;
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use serde::Deserialize;

use crate::app::App;
use crate::rest::Tag;
use crate::rest::api_key::{PermissionName, ScopeBody};
use crate::rest::body::JsonBody;
use crate::rest::caller::{Caller, From, Presented};
use crate::rest::entity::Status;
use crate::rest::problem::Problem;

/// A credential to log in with: `key`, or under `--dev` a `client_id`.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct LoginRequest {
    /// The admin key or an API key.
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
    /// What it allows at all.
    permissions: Vec<PermissionName>,
}

/// What the server makes of a credential.
#[derive(Object)]
pub(crate) struct Me {
    /// Who it stands for.
    client_id: String,
    /// What it allows at all.
    permissions: Vec<PermissionName>,
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
    /// Exchanges a key for a session token, which allows what the key does and ends with it. Programs need no session: they
    /// send their key with every request.
    #[oai(path = "/api/login", method = "post", operation_id = "login")]
    async fn login(
        &self,
        app: Data<&Arc<App>>,
        from: From,
        body: JsonBody<LoginRequest>,
    ) -> Result<Json<LoginResult>, Problem> {
        let request = body.parse().await?;
        let session = match (request.key, request.client_id) {
            (Some(key), _) => app.login(&SecretText::new(key), from.0).await?,
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

    /// Log out
    ///
    /// Ends the session that is presented, at once and for good. A key is deleted instead.
    #[oai(path = "/api/logout", method = "post", operation_id = "logout")]
    async fn logout(&self, app: Data<&Arc<App>>, _caller: Caller, session: Presented) -> Result<Json<Status>, Problem> {
        app.sessions.logout(&session.0).await?;
        Ok(Status::ok())
    }

    /// Who am I
    #[oai(path = "/api/me", method = "get", operation_id = "me")]
    async fn me(&self, caller: Caller) -> Result<Json<Me>, Problem> {
        let who = caller.0;
        Ok(Json(Me {
            permissions: permissions(&who),
            is_admin: who.is_admin(),
            scopes: who.scopes.iter().map(Into::into).collect(),
            client_id: who.client_id,
        }))
    }
}

fn permissions(who: &Principal) -> Vec<PermissionName> {
    who.permissions.iter().copied().map(Into::into).collect()
}
