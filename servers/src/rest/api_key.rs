//! API keys: made, listed and withdrawn by administrators.

use std::sync::Arc;

use delta_core::auth::{Action, Permission, Scope};
use delta_core::builtin::api_keys::{ApiKey, NewApiKey};
use delta_core::{Error, Result};
use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde::Deserialize;

use crate::app::App;
use crate::duration;
use crate::rest::Tag;
use crate::rest::body::{JsonBody, present};
use crate::rest::caller::Caller;
use crate::rest::entity::Status;
use crate::rest::problem::Problem;

/// What a credential may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "Permission", rename_all = "lowercase")]
pub(crate) enum PermissionName {
    /// Read entities and listings.
    Read,
    /// Write and delete entities and, without scopes, schemas.
    Write,
    /// Manage keys, settings and workers.
    Admin,
}

impl From<Permission> for PermissionName {
    fn from(permission: Permission) -> Self {
        match permission {
            Permission::Read => Self::Read,
            Permission::Write => Self::Write,
            Permission::Admin => Self::Admin,
        }
    }
}

/// What a scope may allow in its databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "Action", rename_all = "lowercase")]
pub(crate) enum ActionName {
    /// Read entities and listings.
    Read,
    /// Write and delete entities.
    Write,
    /// Write and delete schemas, all of them.
    Schema,
}

impl From<Action> for ActionName {
    fn from(action: Action) -> Self {
        match action {
            Action::Read => Self::Read,
            Action::Write => Self::Write,
            Action::Schema => Self::Schema,
        }
    }
}

/// A limit of a credential to some databases.
#[derive(Debug, Object)]
#[oai(rename = "Scope")]
pub(crate) struct ScopeBody {
    /// A database, or the beginning of some followed by `*`.
    #[oai(validator(min_length = 1, max_length = 129, pattern = r"^([A-Za-z0-9_-][A-Za-z0-9._-]*\*?|\*)$"))]
    database: String,
    /// What is allowed there, as far as the permissions allow it at all.
    #[oai(validator(min_items = 1))]
    actions: Vec<ActionName>,
}

impl From<&Scope> for ScopeBody {
    fn from(scope: &Scope) -> Self {
        Self { database: scope.database.clone(), actions: scope.actions.iter().copied().map(Into::into).collect() }
    }
}

/// The key to make.
#[derive(Object)]
#[oai(rename = "NewApiKey")]
pub(crate) struct NewApiKeyBody {
    /// How to call it; the `client_id` of those who use it.
    #[oai(validator(min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$"))]
    name: String,
    /// What it allows at all.
    #[oai(validator(min_items = 1))]
    permissions: Vec<PermissionName>,
    /// Where; everywhere when empty or left out. A key with the permission `admin` has none.
    #[oai(default, validator(max_items = 100))]
    scopes: Vec<ScopeBody>,
    /// How long it lasts, like `24h` or `7d`, at most 100 years; until it is deleted when left out.
    #[oai(validator(pattern = r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h|d))+$"))]
    expires_in: Option<String>,
}

/// The same as it is read: what is not known is told by name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    permissions: Vec<String>,
    #[serde(default)]
    scopes: Vec<WantedScope>,
    #[serde(default, deserialize_with = "present")]
    expires_in: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedScope {
    database: String,
    actions: Vec<String>,
}

impl Wanted {
    fn check(self) -> Result<NewApiKey> {
        let permissions = self.permissions.iter().map(|text| known(text, &PERMISSIONS, Permission::as_str));
        let scope = |scope: WantedScope| {
            let actions = scope.actions.iter().map(|text| known(text, &ACTIONS, Action::as_str));
            Ok(Scope { database: scope.database, actions: actions.collect::<Result<_>>()? })
        };
        let expires_in = self.expires_in.as_deref().map(duration::parse).transpose();
        Ok(NewApiKey {
            name: self.name,
            permissions: permissions.collect::<Result<_>>()?,
            scopes: self.scopes.into_iter().map(scope).collect::<Result<_>>()?,
            expires_in: expires_in.map_err(|error| invalid(format!("expires_in: {error}")))?,
        })
    }
}

const PERMISSIONS: [Permission; 3] = [Permission::Read, Permission::Write, Permission::Admin];
const ACTIONS: [Action; 3] = [Action::Read, Action::Write, Action::Schema];

/// The one of `all` that is called so; the error lists them.
fn known<T: Copy>(text: &str, all: &[T], name: fn(T) -> &'static str) -> Result<T> {
    let found = all.iter().copied().find(|one| name(*one) == text);
    found.ok_or_else(|| {
        let names: Vec<_> = all.iter().copied().map(name).collect();
        invalid(format!("{text:?} is not known here; use one of {}", names.join(", ")))
    })
}

fn invalid(message: String) -> Error {
    Error::invalid("invalid_api_key", message)
}

/// A key without its secret.
#[derive(Debug, Object)]
#[oai(rename = "ApiKey", skip_serializing_if_is_none)]
pub(crate) struct ApiKeyBody {
    /// What it is deleted by.
    id: String,
    /// How it is called.
    name: String,
    /// What it allows at all.
    permissions: Vec<PermissionName>,
    /// Where; everywhere when empty.
    scopes: Vec<ScopeBody>,
    /// When it was made, in RFC 3339.
    created_at: String,
    /// When it expires, in RFC 3339; never when absent. An expired key stays in the list until it is deleted.
    expires_at: Option<String>,
}

impl From<&ApiKey> for ApiKeyBody {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id.clone(),
            name: key.name.clone(),
            permissions: key.permissions.iter().copied().map(Into::into).collect(),
            scopes: key.scopes.iter().map(Into::into).collect(),
            created_at: key.created.to_string(),
            expires_at: key.expires.map(|expires| expires.to_string()),
        }
    }
}

/// A key that was just made.
#[derive(Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct CreatedApiKey {
    /// The credential to send as `Authorization: Bearer …`: shown this once.
    secret: String,
    /// The key itself.
    #[oai(flatten)]
    key: ApiKeyBody,
}

/// A key that was made.
#[derive(ApiResponse)]
pub(crate) enum CreatedResponse {
    /// The key counts from now on.
    #[oai(status = 201)]
    Created(Json<CreatedApiKey>),
}

/// API keys.
pub(crate) struct ApiKeyApi;

#[OpenApi(tag = "Tag::Keys")]
impl ApiKeyApi {
    /// List API keys
    ///
    /// Expired ones too, the oldest first; secrets are not kept and cannot be shown.
    #[oai(path = "/api/keys", method = "get", operation_id = "listApiKeys")]
    async fn list(&self, app: Data<&Arc<App>>, caller: Caller) -> Result<Json<Vec<ApiKeyBody>>, Problem> {
        caller.0.require_somewhere(Permission::Admin)?;
        let keys = app.api_keys.list().await?;
        Ok(Json(keys.iter().map(|key| ApiKeyBody::from(&**key)).collect()))
    }

    /// Make an API key
    ///
    /// The answer holds the secret, which cannot be shown again.
    #[oai(path = "/api/keys", method = "post", operation_id = "createApiKey")]
    async fn create(
        &self,
        app: Data<&Arc<App>>,
        caller: Caller,
        body: JsonBody<NewApiKeyBody>,
    ) -> Result<CreatedResponse, Problem> {
        caller.0.require_somewhere(Permission::Admin)?;
        let wanted = body.parse_as::<Wanted>().await?.check()?;
        let created = app.api_keys.create(wanted).await?;
        tracing::info!(key = created.key.id, by = ?caller.0.client_id, "an API key was made");
        let (secret, key) = (created.credential.expose().to_owned(), ApiKeyBody::from(&*created.key));
        Ok(CreatedResponse::Created(Json(CreatedApiKey { secret, key })))
    }

    /// Delete an API key
    ///
    /// From the answer on neither the key nor a session of it counts.
    #[oai(path = "/api/keys/:id", method = "delete", operation_id = "deleteApiKey")]
    async fn delete(&self, app: Data<&Arc<App>>, caller: Caller, id: Path<String>) -> Result<Json<Status>, Problem> {
        caller.0.require_somewhere(Permission::Admin)?;
        app.api_keys.delete(&id.0).await?;
        tracing::info!(key = id.0, by = ?caller.0.client_id, "an API key was deleted");
        Ok(Status::ok())
    }
}
