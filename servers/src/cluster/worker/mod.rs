//! The worker's side: it dials its mains, subscribes to each, and does what comes down their streams.
//!
//! It goes on for ever: when a main is gone it looks for it again, soon at first and then every second. Only what a restart
//! would not mend ends it, and only if that is so of every main before it has served one: a wrong credential, another
//! store, an unsafe link.

pub(super) mod currency;
mod dial;
mod papers;
mod standing;
pub(super) mod stream;
mod work;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use delta_core::Error;
use delta_core::clock::{Clock, SystemClock};
use delta_core::engine::{EngineLimits, Hands};
use delta_core::keyring::Keyring;
use delta_core::keys::SecretText;
use delta_core::name::WriterId;
use delta_core::seal::Sealer;
use delta_core::storage::Storage;
use delta_core::superblock::Superblock;
use delta_core::validator::Validator;
use tokio_util::sync::CancellationToken;

use crate::cli::print_line;
use crate::metrics::Work;
use crate::roles::harden;
use currency::Currency;
use dial::NextKey;
pub(crate) use dial::{Join, Link};
pub(crate) use papers::Papers;
pub(crate) use standing::{Standing, Stood};

/// How long a worker waits at first before it looks for its main again, and how long at most.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Why a worker is not at work.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It may pass.
    Passing(Error),
    /// It will not.
    Lasting(Error),
}

impl Trouble {
    fn error(&self) -> &Error {
        match self {
            Self::Passing(error) | Self::Lasting(error) => error,
        }
    }
}

/// What a worker works with.
pub(crate) struct Parts {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) validator: Arc<dyn Validator>,
    pub(crate) limits: EngineLimits,
    pub(crate) worker: WriterId,
    /// What others may know of it.
    pub(crate) standing: Arc<Standing>,
    /// What it does, counted.
    pub(crate) work: Arc<Work>,
}

/// Hands, and the keys that they hold.
struct Holding {
    hands: Hands,
    keyring: Keyring,
}

/// What the streams to all mains share: one memory of documents, and one set of keys.
struct Team {
    parts: Parts,
    holding: Mutex<Option<Holding>>,
    currency: Arc<Currency>,
    /// The mains that nothing but a change of somebody's mind would make this worker serve, by their places.
    hopeless: Mutex<HashSet<usize>>,
    mains: usize,
}

/// Works for these mains, which share a store, until `stop`.
pub(crate) async fn run(links: Vec<Link>, parts: Parts, stop: CancellationToken) -> Result<()> {
    let (holding, hopeless) = Default::default();
    let currency = Arc::new(Currency::new(parts.storage.clone()));
    let team = Team { parts, holding, currency, hopeless, mains: links.len() };
    let each = links.iter().enumerate().map(|(place, link)| work_for(link, place, &team, &stop));
    futures::future::try_join_all(each).await.map(drop)
}

/// Works for one main until `stop`, and looks for it again whenever it is gone.
async fn work_for(link: &Link, place: usize, team: &Team, stop: &CancellationToken) -> Result<()> {
    let mut key = NextKey::default();
    let (mut pause, mut said) = (BACKOFF_MIN, String::new());
    while !stop.is_cancelled() {
        let began = tokio::time::Instant::now();
        let Err(trouble) = once(link, place, team, &mut key, stop).await else { break };
        let text = trouble.error().to_string();
        // Once is enough for one that comes every second.
        if text != said {
            tracing::warn!(error = %text, main = link.main(), "not at work; looking for the main again");
            said = text;
        }
        team.may_go_on(place, trouble)?;
        // A stream that lasted says that the main was well until now.
        pause = if began.elapsed() > BACKOFF_MAX { BACKOFF_MIN } else { (pause * 2).min(BACKOFF_MAX) };
        let _slept = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    Ok(())
}

impl Team {
    /// An error when nobody was ever served, and none of the mains is of any use as things are.
    fn may_go_on(&self, place: usize, trouble: Trouble) -> Result<()> {
        let mut hopeless = self.hopeless.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            Trouble::Passing(_) => _ = hopeless.remove(&place),
            Trouble::Lasting(error) => {
                hopeless.insert(place);
                if hopeless.len() == self.mains && self.holding().is_none() {
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    fn holding(&self) -> MutexGuard<'_, Option<Holding>> {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hands with the keys of this superblock, which every storage of ours agrees on: what is in memory counts on.
    fn hands(&self, superblock: Superblock) -> Result<Hands, Trouble> {
        let (keyring, generation) = (superblock.keyring.clone(), superblock.generation);
        let mut holding = self.holding();
        if let Some(held) = holding.as_ref().filter(|held| held.keyring.store() == keyring.store()) {
            if self.currency.has_become(generation) {
                held.keyring.follow(&keyring).map_err(Trouble::Lasting)?;
                tracing::info!(generation, "the store has other keys, and they are here");
            }
            return Ok(held.hands.clone());
        }
        let hands = hands(&self.parts, superblock)?;
        *holding = Some(Holding { hands: hands.clone(), keyring });
        self.currency.has_become(generation);
        Ok(hands)
    }
}

/// Dials, subscribes, and works until the stream is over; `Ok` after it was told to stop.
async fn once(
    link: &Link,
    place: usize,
    team: &Team,
    key: &mut NextKey,
    stop: &CancellationToken,
) -> Result<(), Trouble> {
    let parts = &team.parts;
    let subscribing = async {
        let channel = link.connect().await?;
        let enrolled = link.subscribe(&channel, &*parts.storage, key, None).await?;
        Ok((channel, enrolled))
    };
    let Some(subscribed) = stop.run_until_cancelled(subscribing).await else { return Ok(()) };
    let (channel, enrolled) = subscribed?;
    harden::wipe_stack();
    let lease = (enrolled.token, enrolled.lifetime);
    let hands = team.hands(enrolled.superblock)?;
    let renew = async |token: &SecretText| {
        // Over a connection of its own, which shows the certificate that is current.
        let channel = link.connect().await?;
        let again = link.subscribe(&channel, &*parts.storage, &mut NextKey::default(), Some(token)).await?;
        harden::wipe_stack();
        team.hands(again.superblock)?;
        Ok((again.token, again.lifetime))
    };
    let begun = async |out: &_| {
        parts.standing.begun(place, hands.clone(), out).await;
        print_line(&format!("Worker:    {} works for {}", parts.worker, link.main()));
    };
    let worked =
        stream::run(&channel, (hands.clone(), parts.work.clone(), team.currency.clone()), lease, renew, begun, stop)
            .await;
    parts.standing.over(place).await;
    worked
}

fn hands(parts: &Parts, superblock: Superblock) -> Result<Hands, Trouble> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let names = Arc::new(superblock.open_names().map_err(Trouble::Lasting)?);
    let sealer = Arc::new(Sealer::new(Arc::new(superblock.keyring), names, parts.worker.clone()));
    Ok(Hands::new(parts.storage.clone(), sealer, parts.validator.clone(), clock, parts.limits))
}
