//! A credential for every principal: what a suite that was written for principals sends over the wire.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use delta_core::auth::Principal;
use serde_json::json;

use crate::http::Client;
use crate::start::ADMIN_KEY;

/// The keys of one server: the admin key, and an API key for any other principal, made when it is first needed.
#[derive(Debug)]
pub struct Credentials {
    rest: SocketAddr,
    made: Mutex<Vec<(Principal, String)>>,
}

impl Credentials {
    /// The keys of the server that listens here for REST.
    pub fn new(rest: SocketAddr) -> Self {
        Self { rest, made: Mutex::default() }
    }

    /// The bearer token that stands for a principal.
    pub fn of(&self, who: &Principal) -> String {
        if who.is_admin() {
            return ADMIN_KEY.into();
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, key)) = made.iter().find(|(known, _)| known == who) {
            return key.clone();
        }
        let body = json!({"name": who.client_id, "permissions": who.permissions, "scopes": who.scopes});
        let answer = Client::new(self.rest).bearer(ADMIN_KEY).post("/api/keys", body.to_string()).expect(201).json();
        let key = answer.get("secret").and_then(|secret| secret.as_str()).expect("a secret").to_owned();
        made.push((who.clone(), key.clone()));
        key
    }
}
