//! A fixed script of writes of every kind, and what each makes of what is stored.

use serde_json::{Value, json};

use crate::http::{Client, Request};

/// The number of a key that is only ever deleted.
const NEVER: usize = 99;

/// Something that is stored and that one request reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// An entity, by database and key.
    Entity(&'static str, String),
    /// A schema, by id.
    Schema(&'static str),
    /// The settings of a database.
    Settings(&'static str),
    /// An API key, by name.
    ApiKey(&'static str),
}

impl Thing {
    /// What is stored of it now; `None` is nothing, and an error any answer that is neither.
    pub fn read(&self, client: &mut Client) -> Result<Option<Value>, String> {
        let target = match self {
            Self::Entity(database, key) => format!("/entity/{database}/{key}"),
            Self::Schema(id) => format!("/schema/{id}"),
            Self::Settings(database) => format!("/api/databases/{database}"),
            Self::ApiKey(_) => "/api/keys".to_owned(),
        };
        let answer = client.try_send(&Request::new("GET", &target)).map_err(|error| format!("{target}: {error}"))?;
        match (answer.status, self) {
            (200, Self::Entity(..) | Self::Schema(_)) => Ok(Some(answer.json())),
            // A database without settings of its own is there as long as it has a key.
            (200, Self::Settings(_)) => Ok(answer.json().get("schema_id").cloned()),
            (200, Self::ApiKey(name)) => Ok(key_id(&answer.json(), name).map(|_| Value::Bool(true))),
            (404, Self::Entity(..) | Self::Schema(_) | Self::Settings(_)) => Ok(None),
            _ => Err(format!("{target}: {answer:?}")),
        }
    }
}

fn key_id(listed: &Value, name: &str) -> Option<String> {
    let key = listed.as_array()?.iter().find(|key| key.get("name").is_some_and(|given| given == name))?;
    Some(key.get("id")?.as_str()?.to_owned())
}

/// What one operation asks for.
#[derive(Debug, Clone)]
enum Ask {
    /// A request that is known from the start.
    Send(Request),
    /// The removal of an API key, whose id the server made.
    RemoveKey(&'static str),
}

/// One operation: a request, and what is stored once it has happened.
#[derive(Debug, Clone)]
pub struct Operation {
    ask: Ask,
    /// What it makes of things; `None` removes one.
    pub after: Vec<(Thing, Option<Value>)>,
}

impl Operation {
    /// Its request; `None` if there is nothing to ask for any more.
    pub fn request(&self, client: &mut Client) -> Result<Option<Request>, String> {
        match &self.ask {
            Ask::Send(request) => Ok(Some(request.clone())),
            Ask::RemoveKey(name) => {
                let listed = client.try_send(&Request::new("GET", "/api/keys")).map_err(|error| error.to_string())?;
                let id = key_id(&listed.json(), name);
                Ok(id.map(|id| Request::new("DELETE", &format!("/api/keys/{id}"))))
            }
        }
    }

    /// Whether it is more than the removal of what was never there.
    pub fn changes(&self) -> bool {
        !self.after.iter().all(|(thing, _)| *thing == Thing::Entity("alpha", format!("k{NEVER}")))
    }

    fn send(method: &str, target: &str, body: Option<&Value>, after: Vec<(Thing, Option<Value>)>) -> Self {
        let request = Request::new(method, target);
        let request = match body {
            Some(body) => request.body(body.to_string()),
            None => request,
        };
        Self { ask: Ask::Send(request), after }
    }

    fn put(database: &'static str, key: usize, document: Value) -> Self {
        let key = format!("k{key}");
        let target = format!("/entity/{database}/{key}");
        Self::send("PUT", &target, Some(&document), vec![(Thing::Entity(database, key), Some(document.clone()))])
    }

    fn delete(database: &'static str, key: usize) -> Self {
        let key = format!("k{key}");
        let target = format!("/entity/{database}/{key}");
        Self::send("DELETE", &target, None, vec![(Thing::Entity(database, key), None)])
    }

    fn put_map(database: &'static str, keys: &[usize], document: impl Fn(usize) -> Value) -> Self {
        let members: Vec<_> = keys.iter().map(|key| (format!("k{key}"), document(*key))).collect();
        let body: Value = members.iter().cloned().collect::<serde_json::Map<_, _>>().into();
        let after = members.into_iter().map(|(key, document)| (Thing::Entity(database, key), Some(document)));
        Self::send("PUT", &format!("/entity/{database}"), Some(&body), after.collect())
    }

    fn put_schema(id: &'static str, schema: Value) -> Self {
        let target = format!("/schema/{id}");
        Self::send("PUT", &target, Some(&schema), vec![(Thing::Schema(id), Some(schema.clone()))])
    }

    fn set(database: &'static str, schema: &'static str) -> Self {
        let (target, body) = (format!("/api/databases/{database}"), json!({"schema_id": schema}));
        Self::send("PUT", &target, Some(&body), vec![(Thing::Settings(database), Some(schema.into()))])
    }

    fn make_key(name: &'static str) -> Self {
        let body = json!({"name": name, "permissions": ["read"]});
        Self::send("POST", "/api/keys", Some(&body), vec![(Thing::ApiKey(name), Some(true.into()))])
    }

    fn remove_key(name: &'static str) -> Self {
        Self { ask: Ask::RemoveKey(name), after: vec![(Thing::ApiKey(name), None)] }
    }
}

/// A document that no other write has.
fn document(round: usize, key: usize) -> Value {
    // Some are too long for one page of the disk.
    let length = if key.is_multiple_of(4) { 20_000 } else { 20 };
    json!({"round": round, "key": key, "text": "x".repeat(length)})
}

/// The script: fifty writes, one after the other.
pub fn script() -> Vec<Operation> {
    let schema = |version: u64| json!({"type": "object", "title": format!("version {version}")});
    let mut script =
        vec![Operation::put_schema("chat", schema(1)), Operation::set("beta", "chat"), Operation::make_key("first")];
    script.extend((0..12).map(|key| Operation::put("alpha", key, document(1, key))));
    script.extend((0..6).map(|key| Operation::put("beta", key, document(1, key))));
    script.push(Operation::put_map("alpha", &[0, 1, 12, 13], |key| document(2, key)));
    script.extend((0..7).map(|key| Operation::put("alpha", key, document(3, key))));
    script.extend([
        Operation::delete("alpha", 1),
        Operation::delete("beta", 2),
        Operation::delete("alpha", NEVER),
        Operation::put_schema("chat", schema(2)),
        Operation::put_map("beta", &[0, 6, 7], |key| document(4, key)),
        Operation::make_key("second"),
        Operation::remove_key("first"),
        Operation::set("alpha", "chat"),
        Operation::delete("alpha", 5),
    ]);
    script.extend([1, 5, 8, 9, 10, 11].map(|key| Operation::put("alpha", key, document(5, key))));
    script.extend([
        Operation::put_schema("other", schema(3)),
        Operation::send("DELETE", "/schema/other", None, vec![(Thing::Schema("other"), None)]),
        // So many that storage fs syncs them all at once.
        Operation::put_map("alpha", &[2, 3, 4, 6, 7, 14, 15, 16, 17, 18], |key| document(6, key)),
        Operation::delete("beta", 6),
        Operation::set("gamma", "chat"),
        Operation::put("gamma", 0, document(7, 0)),
    ]);
    script
}
