//! What the skins work with: REST and gRPC hold the same [`App`], and ask it who is asking.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use delta_core::Result;
use delta_core::auth::{Auth, Credential, Principal, unauthorized};
use delta_core::builtin::api_keys::ApiKeys;
use delta_core::builtin::sessions::{Session, Sessions};
use delta_core::cache::CacheStats;
use delta_core::clock::{Clock, Timestamp};
use delta_core::engine::Engine;
use delta_core::entities::Entities;
use delta_core::keyring::Keyring;
use delta_core::keys::SecretText;
use delta_core::name::WriterId;
use http::HeaderMap;

use crate::cluster::main::Cluster;
use crate::limiter::Limiter;
use crate::metrics::{Calls, Requests};
use crate::proxies::Proxies;

/// What every route works with.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) entities: Arc<dyn Entities>,
    /// Settings, schemas and listings; and the work, unless workers do it.
    pub(crate) engine: Engine,
    /// The workers, where there are to be some.
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) api_keys: ApiKeys,
    /// Counts failed credentials.
    pub(crate) limiter: Limiter,
    /// Whose word on a client's address counts.
    pub(crate) proxies: Proxies,
    /// Asked in order until one knows the credential.
    pub(crate) auth: Vec<Arc<dyn Auth>>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) worker: WriterId,
    /// The requests of REST, counted.
    pub(crate) requests: Arc<Requests>,
    /// The calls of gRPC, counted.
    pub(crate) calls: Arc<Calls>,
    /// What the process is: the command that it was started with.
    pub(crate) role: &'static str,
    /// The storage plug-in's name.
    pub(crate) storage: String,
    pub(crate) started: Timestamp,
    pub(crate) body_bytes_max: usize,
    pub(crate) document_depth_max: usize,
}

impl App {
    /// The address that a request's failed credentials count for: the peer's, or what a trusted proxy says.
    pub(crate) fn client(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> IpAddr {
        // Every connection of ours has a peer with an address.
        let peer = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
        self.proxies.client(peer, headers)
    }

    /// Who presents this bearer token from this address: `Unauthorized` if it does not count, and `Throttled` if too many
    /// did not.
    pub(crate) async fn authenticate(&self, bearer: &str, from: IpAddr) -> Result<Principal> {
        self.judged(from, self.principal(&Credential::bearer(bearer)).await)
    }

    /// A session for the holder of a key, with the same failures.
    pub(crate) async fn login(&self, key: &SecretText, from: IpAddr) -> Result<Session> {
        self.judged(from, self.sessions.login(key).await)
    }

    /// Whether requests can be expected to be served now; the error says why not.
    pub(crate) async fn ready(&self) -> Result<()> {
        self.engine.ready().await?;
        self.cluster.as_ref().map_or(Ok(()), |cluster| cluster.ready())
    }

    /// What the memory of documents did, wherever they are opened.
    pub(crate) fn cache_stats(&self) -> CacheStats {
        self.cluster.as_ref().map_or_else(|| self.engine.cache_stats(), |cluster| cluster.cache_stats())
    }

    /// The result of a credential check, with failures counted for the address.
    pub(crate) fn judged<T>(&self, from: IpAddr, checked: Result<T>) -> Result<T> {
        let judged = self.limiter.judge(from, checked);
        if let Err(error) = &judged {
            tracing::debug!(%from, why = error.code(), "a credential was refused");
        }
        judged
    }

    async fn principal(&self, credential: &Credential) -> Result<Principal> {
        for auth in &self.auth {
            if let Some(principal) = auth.authenticate(credential).await? {
                return Ok(principal);
            }
        }
        Err(unauthorized("this credential is not known; check it, or log in again"))
    }
}
