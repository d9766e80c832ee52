//! Who is asking, and what they may do.
//!
//! An [`Auth`] turns a credential into a [`Principal`] at the edge; inside, every operation takes the principal first
//! and asks [`Principal::require`]. Nothing here decides how a credential looks.

use std::fmt::Debug;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::keys::SecretText;
use crate::name::DatabaseName;

/// What a principal may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Read entities and listings.
    Read,
    /// Write and delete entities.
    Write,
    /// Manage keys, settings and workers.
    Admin,
}

impl Permission {
    /// The permission as clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// What a scope allows in the databases it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Read entities and listings.
    Read,
    /// Write and delete entities.
    Write,
    /// Write and delete schemas.
    Schema,
}

impl Action {
    /// The action as clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Schema => "schema",
        }
    }
}

/// A limit of a principal to some databases and actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// A database name, or the beginning of some followed by `*`.
    pub database: String,
    /// What is allowed there.
    pub actions: Vec<Action>,
}

impl Scope {
    fn covers(&self, database: &DatabaseName, action: Action) -> bool {
        let named = match self.database.strip_suffix('*') {
            Some(start) => database.as_str().starts_with(start),
            None => database.as_str() == self.database,
        };
        named && self.actions.contains(&action)
    }
}

/// Who is asking: made only by an [`Auth`], taken first by every operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// How logs and `/api/me` call the caller.
    pub client_id: String,
    /// What the caller may do at all.
    pub permissions: Vec<Permission>,
    /// Where; everywhere when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
}

impl Principal {
    /// The holder of the admin key: everything, everywhere.
    pub fn admin() -> Self {
        Self {
            client_id: "admin".into(),
            permissions: vec![Permission::Read, Permission::Write, Permission::Admin],
            scopes: Vec::new(),
        }
    }

    /// Whether the caller is an administrator.
    pub fn is_admin(&self) -> bool {
        self.permissions.contains(&Permission::Admin)
    }

    /// Whether the caller may do `permission` in `database`.
    pub fn may(&self, permission: Permission, database: &DatabaseName) -> bool {
        let action = match permission {
            Permission::Read => Action::Read,
            Permission::Write => Action::Write,
            Permission::Admin => return self.is_admin(),
        };
        self.permissions.contains(&permission)
            && (self.scopes.is_empty() || self.scopes.iter().any(|scope| scope.covers(database, action)))
    }

    /// Refuses with `Forbidden` unless the caller may do `permission` in `database`.
    pub fn require(&self, permission: Permission, database: &DatabaseName) -> Result<()> {
        if self.may(permission, database) {
            return Ok(());
        }
        let needed = permission.as_str();
        Err(Error::new(
            ErrorKind::Forbidden,
            format!("this needs the permission {needed:?} on database {database}; ask an administrator for it"),
        ))
    }

    /// Refuses with `Forbidden` unless the caller has `permission` in any database at all.
    pub fn require_somewhere(&self, permission: Permission) -> Result<()> {
        if self.permissions.contains(&permission) {
            return Ok(());
        }
        let needed = permission.as_str();
        Err(Error::new(
            ErrorKind::Forbidden,
            format!("this needs the permission {needed:?}; ask an administrator for it"),
        ))
    }

    /// Refuses with `Forbidden` unless the caller may write schemas: unscoped write, or write and a scope with the action
    /// `schema`. A schema belongs to no database, so which ones the scope names does not matter.
    pub fn require_schema_write(&self) -> Result<()> {
        let scoped = self.scopes.iter().any(|scope| scope.actions.contains(&Action::Schema));
        if self.permissions.contains(&Permission::Write) && (scoped || self.scopes.is_empty()) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Forbidden,
            "this needs the permission \"write\" on all databases, or with a scope of the action \"schema\"",
        ))
    }
}

/// What a caller presents.
#[derive(Debug, Clone)]
pub enum Credential {
    /// An `Authorization: Bearer` value (RFC 6750), or the same value from a cookie.
    Bearer(SecretText),
}

impl Credential {
    /// A bearer token.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self::Bearer(SecretText::new(token))
    }
}

/// Turns a credential into a principal. Every sentence here is a test in [`crate::conformance::auth`].
#[async_trait]
pub trait Auth: Debug + Send + Sync + 'static {
    /// Who presents this credential. `None` means "not my kind of credential, ask the next"; one of this kind that is
    /// wrong, expired or withdrawn is `Unauthorized`. No error and no `Debug` repeats the credential.
    async fn authenticate(&self, credential: &Credential) -> Result<Option<Principal>>;
}

/// The refusal of a credential that nobody takes.
pub fn unauthorized(reason: &str) -> Error {
    Error::new(ErrorKind::Unauthorized, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scoped(database: &str, actions: &[Action]) -> Principal {
        Principal {
            client_id: "c".into(),
            permissions: vec![Permission::Read, Permission::Write],
            scopes: vec![Scope { database: database.into(), actions: actions.to_vec() }],
        }
    }

    #[test]
    fn a_scope_limits_to_its_databases_and_actions() {
        let chat = DatabaseName::parse("chatdb").unwrap();
        let other = DatabaseName::parse("other").unwrap();
        let who = scoped("chat*", &[Action::Read]);
        assert!(who.may(Permission::Read, &chat));
        assert!(!who.may(Permission::Write, &chat));
        assert!(!who.may(Permission::Read, &other));
        assert!(!who.may(Permission::Admin, &chat));
        assert!(who.require_schema_write().is_err());
        assert!(scoped("x", &[Action::Schema]).require_schema_write().is_ok());
        assert!(Principal::admin().may(Permission::Admin, &other));
        assert_eq!(who.require(Permission::Write, &chat).unwrap_err().kind(), ErrorKind::Forbidden);
    }

    #[test]
    fn a_scope_without_the_permission_gives_nothing() {
        let mut who = scoped("*", &[Action::Write, Action::Schema]);
        who.permissions = vec![Permission::Read];
        assert!(!who.may(Permission::Write, &DatabaseName::parse("d").unwrap()));
        assert!(who.require_schema_write().is_err());
    }
}
