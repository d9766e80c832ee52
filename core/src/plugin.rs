//! The registry of plug-ins: what is compiled in, and how to open it from settings.
//!
//! A plug-in crate submits one [`Plugin`] with `inventory`; nothing here knows any of them. Settings are a table that
//! belongs to the plug-in: a field it does not know is refused with plug-in and field named.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::auth::Auth;
use crate::error::{Error, Result};
use crate::keys::KeyProvider;
use crate::storage::Storage;
use crate::validator::Validator;

pub use inventory;

/// The settings of one plug-in, as the configuration's layers left them.
///
/// They may hold secrets, so they have no `Debug`, and an error names a field but never quotes its value.
#[derive(Clone, Default)]
pub struct Settings(Map<String, Value>);

impl Settings {
    /// Settings from a table.
    pub fn new(table: Map<String, Value>) -> Self {
        Self(table)
    }

    /// The same settings with one more field.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0.insert(field.into(), value.into());
        self
    }

    /// Reads the settings as the plug-in's own type, which denies unknown fields.
    pub fn parse<T: DeserializeOwned>(self, plugin: &str) -> Result<T> {
        parse_quietly(Value::Object(self.0))
            .map_err(|reason| Error::invalid("invalid_setting", format!("settings of plug-in {plugin}: {reason}")))
    }
}

/// Deserialises without letting a value into the message: a setting may be a secret.
fn parse_quietly<T: DeserializeOwned>(table: Value) -> Result<T, String> {
    serde_json::from_value(table).map_err(|error| {
        let text = error.to_string();
        if text.starts_with("unknown field") || text.starts_with("missing field") || text.starts_with("duplicate field")
        {
            return text;
        }
        // "invalid type: string \"…\", expected u64" quotes the value; what was expected does not.
        match text.rsplit_once("expected ") {
            Some((_, expected)) => format!("a field has the wrong type or value, expected {expected}"),
            None => "a field has a wrong value".to_owned(),
        }
    })
}

/// What opening gives, once it has done its I/O.
pub type Opening<T> = BoxFuture<'static, Result<Arc<T>>>;

/// How a plug-in is opened, one way for each of the four points.
#[derive(Clone, Copy)]
pub enum Open {
    /// Opens a [`Storage`].
    Storage(fn(Settings) -> Opening<dyn Storage>),
    /// Opens an [`Auth`].
    Auth(fn(Settings) -> Opening<dyn Auth>),
    /// Opens a [`Validator`].
    Validator(fn(Settings) -> Result<Arc<dyn Validator>>),
    /// Opens a [`KeyProvider`].
    Keys(fn(Settings) -> Opening<dyn KeyProvider>),
}

impl Open {
    /// The plug-in point, as the configuration calls it.
    pub fn point(&self) -> &'static str {
        match self {
            Self::Storage(_) => "storage",
            Self::Auth(_) => "auth",
            Self::Validator(_) => "validator",
            Self::Keys(_) => "keys",
        }
    }
}

/// One plug-in: its name, one line about it, and how to open it.
#[derive(Clone, Copy)]
pub struct Plugin {
    /// How the configuration selects it.
    pub name: &'static str,
    /// One line for `deltadb plugins` and for errors.
    pub about: &'static str,
    /// How it is opened.
    pub open: Open,
}

inventory::collect!(Plugin);

/// Every plug-in that is compiled in, by point and name.
pub fn plugins() -> Vec<&'static Plugin> {
    let mut all: Vec<_> = inventory::iter::<Plugin>().collect();
    all.sort_by_key(|plugin| (plugin.open.point(), plugin.name));
    all
}

fn find<T>(point: &'static str, name: &str, select: impl Fn(&Open) -> Option<T>) -> Result<T> {
    let here: Vec<_> = plugins().into_iter().filter(|plugin| plugin.open.point() == point).collect();
    match here.iter().find(|plugin| plugin.name == name).and_then(|plugin| select(&plugin.open)) {
        Some(open) => Ok(open),
        None => {
            let available: Vec<_> = here.iter().map(|plugin| plugin.name).collect();
            Err(Error::invalid(
                "unknown_plugin",
                format!("no {point} plug-in is called {name:?}; available: {}", available.join(", ")),
            ))
        }
    }
}

/// Opens the storage `name`; the error of an unknown one lists what is available.
pub async fn open_storage(name: &str, settings: Settings) -> Result<Arc<dyn Storage>> {
    let open = find("storage", name, |open| match open {
        Open::Storage(open) => Some(*open),
        _ => None,
    })?;
    open(settings).await
}

/// Opens the validator `name`; the error of an unknown one lists what is available.
pub fn open_validator(name: &str, settings: Settings) -> Result<Arc<dyn Validator>> {
    let open = find("validator", name, |open| match open {
        Open::Validator(open) => Some(*open),
        _ => None,
    })?;
    open(settings)
}

/// Opens the key provider `name`; the error of an unknown one lists what is available.
pub async fn open_keys(name: &str, settings: Settings) -> Result<Arc<dyn KeyProvider>> {
    let open = find("keys", name, |open| match open {
        Open::Keys(open) => Some(*open),
        _ => None,
    })?;
    open(settings).await
}

/// Opens the authentication `name`; the error of an unknown one lists what is available.
pub async fn open_auth(name: &str, settings: Settings) -> Result<Arc<dyn Auth>> {
    let open = find("auth", name, |open| match open {
        Open::Auth(open) => Some(*open),
        _ => None,
    })?;
    open(settings).await
}
