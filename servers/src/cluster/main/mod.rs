//! The main's side: who may take part, who is there, and who does what.

mod batches;
mod overlaps;
mod roster;
mod router;
pub(super) mod session;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use delta_core::auth::unauthorized;
use delta_core::cache::CacheStats;
use delta_core::clock::Clock;
use delta_core::keyring::StoreId;
use delta_core::keys::MasterKey;
use delta_core::name::WriterId;
use delta_core::{Error, ErrorKind, Result};
use futures::Stream;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::cluster::join::JoinToken;
use crate::cluster::tickets::{Ticket, Tickets, TokenDigest, digest};
use crate::cluster::wrap::Wrapper;
use crate::cluster::{BEAT_INTERVAL, SILENCE_MAX, wire};
use crate::grpc::api::delta::v1::answer::Outcome;
use crate::grpc::api::delta::v1::from_worker::Frame;
use crate::grpc::api::delta::v1::{FromWorker, ToWorker};
use crate::grpc::api::deltadb::{SubscribeRequest, SubscribeResponse, WrappedKey};
use crate::listen::peer::{PeerCertificate, other_name};

pub(crate) use roster::{Listed, Roster, Status as WorkerStatus};
pub(crate) use router::{Router, task};
use session::{Session, State};

/// How many things a worker may say about itself, and how long each may be.
const TAGS_MAX: usize = 16;
const TAG_BYTES_MAX: usize = 128;

/// The keys of a store as one generation of it has them.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) generation: u64,
    /// Under the ids that the store knows them by, the active one first.
    pub(crate) masters: Vec<MasterKey>,
}

/// What a main may give away, and to whom.
pub(crate) struct Terms {
    /// What a worker without a certificate shows to take part; none where only certificates count.
    pub(crate) join: Option<JoinToken>,
    /// The keys of the store now.
    pub(crate) keys: Keys,
    pub(crate) store: StoreId,
    /// How long a worker goes on before it subscribes again.
    pub(crate) ttl: Duration,
    /// Whether workers of other machines may come without a certificate, over whatever they like.
    pub(crate) insecure: bool,
}

/// A call of a worker's, and what it shows.
pub(crate) struct Call<'a> {
    /// Whether it subscribes, or begins.
    pub(crate) subscribes: bool,
    pub(crate) bearer: Option<&'a str>,
    pub(crate) certificate: Option<&'a PeerCertificate>,
    /// Where it comes from.
    pub(crate) peer: Option<IpAddr>,
}

/// A call for which a cluster's credential was shown.
#[derive(Clone)]
pub(crate) enum Admitted {
    /// The join token or a certificate; one that was shown must be of the worker that subscribes.
    Subscriber(Option<PeerCertificate>),
    /// A worker's token, which is used up now.
    Token(Ticket, TokenDigest),
}

/// A main's workers.
pub(crate) struct Cluster {
    terms: Terms,
    /// Those of the terms, or what took their place since.
    keys: RwLock<Keys>,
    tickets: Tickets,
    roster: Arc<Roster>,
    clock: Arc<dyn Clock>,
    /// Ends every stream.
    stop: CancellationToken,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({:?})", self.terms.store)
    }
}

impl Cluster {
    /// Nobody is there yet.
    pub(crate) fn new(terms: Terms, clock: Arc<dyn Clock>) -> Arc<Self> {
        let roster = Arc::new(Roster::new(clock.clone()));
        let keys = RwLock::new(terms.keys.clone());
        Arc::new(Self { terms, keys, tickets: Tickets::default(), roster, clock, stop: CancellationToken::new() })
    }

    /// The workers.
    pub(crate) fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// The store has other keys now: workers that subscribe get these, and those that are here are told to.
    pub(crate) fn learn(&self, keys: Keys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        self.roster.open().iter().for_each(|session| session.say_keys_changed());
    }

    /// Ends every stream: the workers look for a main again.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether a request can be served; the error says why not.
    pub(crate) fn ready(&self) -> Result<()> {
        if self.roster.open().is_empty() { Err(router::nobody()) } else { Ok(()) }
    }

    /// What the caches of all workers did, as far as they said.
    pub(crate) fn cache_stats(&self) -> CacheStats {
        let add = |sum: CacheStats, worker: Listed| CacheStats {
            hits: sum.hits + worker.cache.hits,
            misses: sum.misses + worker.cache.misses,
            evictions: sum.evictions + worker.cache.evictions,
            entries: sum.entries + worker.cache.entries,
            bytes: sum.bytes + worker.cache.bytes,
        };
        self.roster.list().into_iter().fold(CacheStats::default(), add)
    }

    /// Looks at the credential of a worker's call before its message is read: a certificate or the join token to subscribe, a
    /// worker's token to begin. Anything else, the admin key included, is `Unauthorized`.
    pub(crate) fn admit(&self, call: &Call<'_>) -> Result<Admitted> {
        if let Some(certificate) = call.certificate {
            certificate.check()?;
        } else if !self.terms.insecure && !call.peer.is_some_and(|peer| peer.to_canonical().is_loopback()) {
            let message = "a worker on another machine needs mutual TLS: start the main with --tls-cert, --tls-key and \
                           --cluster-ca, and the worker with --cluster-cert and --cluster-key; or insist with \
                           --insecure-cluster";
            return Err(Error::new(ErrorKind::Forbidden, message).with_code("insecure_cluster"));
        }
        match call.bearer {
            Some(token) if !call.subscribes => self.redeem(token, call.certificate),
            _ if call.subscribes && call.certificate.is_some() => Ok(Admitted::Subscriber(call.certificate.cloned())),
            Some(token) if self.terms.join.as_ref().is_some_and(|join| join.is(token)) => {
                Ok(Admitted::Subscriber(None))
            }
            _ => Err(unauthorized(
                "this is for workers: it needs a certificate of the cluster's or its join token, which no client has",
            )),
        }
    }

    /// Uses up the token of a worker; one that was given to a certificate needs that, too.
    fn redeem(&self, token: &str, certificate: Option<&PeerCertificate>) -> Result<Admitted> {
        let ticket = self.tickets.redeem(token, Instant::now())?;
        match certificate {
            Some(certificate) if !certificate.is_for(ticket.worker.as_str()) => {
                Err(other_name(certificate, ticket.worker.as_str()))
            }
            None if ticket.certified => {
                Err(unauthorized("this token was given to a worker with a certificate, and counts only beside that"))
            }
            _ => Ok(Admitted::Token(ticket, digest(token))),
        }
    }

    /// Gives a worker the store's keys, wrapped for it alone, and a token to begin with.
    pub(crate) fn subscribe(&self, admitted: Admitted, asked: &SubscribeRequest) -> Result<SubscribeResponse> {
        let worker = WriterId::parse(&asked.worker_id)?;
        let Admitted::Subscriber(certificate) = admitted else {
            return Err(unauthorized("this needs a certificate or the join token, and not a worker's token"));
        };
        match &certificate {
            Some(certificate) if !certificate.is_for(worker.as_str()) => {
                return Err(other_name(certificate, worker.as_str()));
            }
            _ => {}
        }
        check_tags(&asked.tags)?;
        let renews = match self.roster.find(&worker) {
            None => false,
            Some(session) if session.holds(&digest(&asked.token)) => true,
            Some(_) => return Err(roster::taken(&worker)),
        };
        let wrapper = Wrapper::new(&asked.pubkey)?;
        let wrap = |key: &MasterKey| {
            Ok(WrappedKey { key_id: key.id.to_string(), wrapped_key: wrapper.wrap(&worker, key)?.into() })
        };
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        let keyring = keys.masters.iter().map(wrap).collect::<Result<Vec<_>>>()?;
        let active = keyring.first().ok_or_else(|| Error::internal("a main without a key"))?.clone();
        let (now, ttl) = (Instant::now(), self.terms.ttl);
        let certified = certificate.is_some();
        let ticket = Ticket { worker: worker.clone(), certified, renews, tags: asked.tags.clone(), expires: now + ttl };
        let token = self.tickets.issue(ticket, now)?;
        tracing::info!(%worker, renews, certified, "a worker has subscribed");
        Ok(SubscribeResponse {
            token: token.expose().to_owned(),
            wrapped_key: active.wrapped_key,
            key_id: active.key_id,
            keyring,
            store_id: self.terms.store.to_string(),
            generation: keys.generation,
            expires_at: self.clock.now().after(ttl).to_string(),
            lifetime_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Takes a worker in: what it is sent from now on.
    pub(crate) fn begin(
        self: &Arc<Self>,
        admitted: Admitted,
        said: Streaming<FromWorker>,
    ) -> Result<impl Stream<Item = std::result::Result<ToWorker, Status>> + Send + 'static> {
        let Admitted::Token(ticket, token) = admitted else {
            return Err(unauthorized("this needs the token that Subscribe gave"));
        };
        if ticket.renews {
            return Err(unauthorized("this token renews a stream, and opens none; subscribe for a new one"));
        }
        let (session, frames) = Session::new(ticket.worker, ticket.tags, token, ticket.expires);
        self.roster.join(&session)?;
        tracing::info!(worker = %session.worker, "a worker is here");
        tokio::spawn(follow(self.clone(), session, said));
        Ok(frames)
    }
}

fn check_tags(tags: &HashMap<String, String>) -> Result<()> {
    let long = |text: &String| text.len() > TAG_BYTES_MAX || text.chars().any(char::is_control);
    if tags.len() > TAGS_MAX || tags.iter().any(|(name, value)| long(name) || long(value)) {
        let message =
            format!("a worker has at most {TAGS_MAX} tags of {TAG_BYTES_MAX} bytes without control characters");
        return Err(Error::invalid("invalid_tags", message));
    }
    Ok(())
}

/// Listens to a worker until its stream is over, and tells who waited for it.
async fn follow(cluster: Arc<Cluster>, session: Arc<Session>, mut said: Streaming<FromWorker>) {
    let mut beat = tokio::time::interval(BEAT_INTERVAL);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let silence = tokio::time::sleep(SILENCE_MAX);
    tokio::pin!(silence);
    let why = loop {
        if session.expires() <= Instant::now() {
            break "it has not subscribed again in time";
        }
        tokio::select! {
            // What has been said counts before the silence after it, however late this process looks.
            biased;
            () = cluster.stop.cancelled() => break "this main stops",
            frame = said.message() => match frame {
                Ok(Some(frame)) => {
                    session.heard();
                    if let Err(error) = heed(&cluster, &session, frame) {
                        tracing::warn!(worker = %session.worker, %error, "a worker said what it must not");
                        break "it said what it must not";
                    }
                }
                Ok(None) => break "it has ended its stream",
                Err(_) => break "its stream broke",
            },
            () = &mut silence => match SILENCE_MAX.checked_sub(session.silent_for()) {
                None | Some(Duration::ZERO) => break "it is silent",
                // It has been heard since.
                Some(left) => silence.as_mut().reset(tokio::time::Instant::now() + left),
            },
            _ = beat.tick() => session.say_beat(),
        }
    };
    let in_order = session.state() == State::Draining;
    session.end();
    cluster.roster.leave(&session, in_order);
    tracing::info!(worker = %session.worker, in_order, "a worker is gone: {why}");
}

fn heed(cluster: &Cluster, session: &Session, said: FromWorker) -> Result<()> {
    match said.frame {
        Some(Frame::Answer(answer)) => {
            let garbled = || Outcome::Fault(wire::fault(&wire::garbled("an answer")));
            session.answered(answer.id, answer.outcome.unwrap_or_else(garbled));
        }
        Some(Frame::Beat(beat)) => session.set_beat(&beat),
        Some(Frame::Draining(_)) => session.drain(),
        Some(Frame::RenewedToken(token)) => {
            let ticket = cluster.tickets.redeem(&token, Instant::now())?;
            if !ticket.renews || ticket.worker != session.worker {
                return Err(unauthorized("this token is another worker's"));
            }
            session.renew(digest(&token), ticket.expires);
        }
        // What a later version says, it can do without.
        None => {}
    }
    Ok(())
}
