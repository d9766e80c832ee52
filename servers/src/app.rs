//! What the skins work with: REST and gRPC hold the same [`App`], and ask it who is asking.

use std::net::IpAddr;
use std::sync::Arc;

use delta_core::Result;
use delta_core::auth::{Auth, Credential, Principal, unauthorized};
use delta_core::builtin::sessions::Sessions;
use delta_core::clock::{Clock, Timestamp};
use delta_core::engine::Engine;
use delta_core::entities::Entities;
use delta_core::keyring::Keyring;
use delta_core::name::WriterId;

/// What every route works with.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) entities: Arc<dyn Entities>,
    pub(crate) engine: Engine,
    pub(crate) sessions: Arc<Sessions>,
    /// Asked in order until one knows the credential.
    pub(crate) auth: Vec<Arc<dyn Auth>>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) worker: WriterId,
    pub(crate) started: Timestamp,
    pub(crate) body_bytes_max: usize,
    pub(crate) document_depth_max: usize,
}

impl App {
    /// Who presents this bearer token from this address, or `Unauthorized`.
    pub(crate) async fn authenticate(&self, bearer: &str, _from: Option<IpAddr>) -> Result<Principal> {
        let credential = Credential::bearer(bearer);
        for auth in &self.auth {
            if let Some(principal) = auth.authenticate(&credential).await? {
                return Ok(principal);
            }
        }
        Err(unauthorized("this credential is not known; check it, or log in again"))
    }
}
