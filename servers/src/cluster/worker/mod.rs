//! The worker's side: it dials a main, subscribes, and does what comes down its stream.
//!
//! It goes on for ever: when a main is gone it looks for it again, soon at first and then every second. Only what a restart
//! would not mend ends it, and only before it has served: a wrong credential, another store, an unsafe link.

mod dial;
mod papers;
mod standing;
mod stream;
mod work;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use delta_core::Error;
use delta_core::clock::{Clock, SystemClock};
use delta_core::engine::{EngineLimits, Hands};
use delta_core::keyring::StoreId;
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
    store: StoreId,
    generation: u64,
}

/// Works for a main until `stop`.
pub(crate) async fn run(link: Link, parts: Parts, stop: CancellationToken) -> Result<()> {
    let (mut holding, mut key) = (None, NextKey::default());
    let (mut pause, mut said) = (BACKOFF_MIN, String::new());
    while !stop.is_cancelled() {
        let began = tokio::time::Instant::now();
        match once(&link, &parts, &mut holding, &mut key, &stop).await {
            Ok(()) => break,
            Err(Trouble::Lasting(error)) if holding.is_none() => return Err(error.into()),
            Err(trouble) => {
                let text = trouble.error().to_string();
                // Once is enough for one that comes every second.
                if text != said {
                    tracing::warn!(error = %text, "not at work; looking for the main again");
                    said = text;
                }
            }
        }
        // A stream that lasted says that the main was well until now.
        pause = if began.elapsed() > BACKOFF_MAX { BACKOFF_MIN } else { (pause * 2).min(BACKOFF_MAX) };
        let _slept = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    Ok(())
}

/// Dials, subscribes, and works until the stream is over; `Ok` after it was told to stop.
async fn once(
    link: &Link,
    parts: &Parts,
    holding: &mut Option<Holding>,
    key: &mut NextKey,
    stop: &CancellationToken,
) -> Result<(), Trouble> {
    let subscribing = async {
        let channel = link.connect().await?;
        let enrolled = link.subscribe(&channel, &*parts.storage, key, None).await?;
        Ok((channel, enrolled))
    };
    let Some(subscribed) = stop.run_until_cancelled(subscribing).await else { return Ok(()) };
    let (channel, enrolled) = subscribed?;
    harden::wipe_stack();
    let lease = (enrolled.token, enrolled.lifetime);
    let (store, generation) = (enrolled.superblock.keyring.store(), enrolled.superblock.generation);
    // The same keys: what is in memory counts on.
    if holding.as_ref().is_none_or(|held| held.store != store || held.generation != generation) {
        *holding = Some(Holding { hands: hands(parts, enrolled.superblock)?, store, generation });
    }
    let Some(held) = holding else { return Ok(()) };
    let renew = async |token: &SecretText| {
        // Over a connection of its own, which shows the certificate that is current.
        let channel = link.connect().await?;
        let again = link.subscribe(&channel, &*parts.storage, &mut NextKey::default(), Some(token)).await?;
        let same = again.superblock.keyring.store() == store && again.superblock.generation == generation;
        if same {
            Ok((again.token, again.lifetime))
        } else {
            Err(Trouble::Lasting(Error::unavailable("the keys changed")))
        }
    };
    let begun = async |out: &_| {
        parts.standing.begun(held.hands.clone(), out).await;
        print_line(&format!("Worker:    {} works for {}", parts.worker, link.main()));
    };
    let worked = stream::run(&channel, (held.hands.clone(), parts.work.clone()), lease, renew, begun, stop).await;
    parts.standing.over().await;
    worked
}

fn hands(parts: &Parts, superblock: Superblock) -> Result<Hands, Trouble> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let names = Arc::new(superblock.open_names().map_err(Trouble::Lasting)?);
    let sealer = Arc::new(Sealer::new(Arc::new(superblock.keyring), names, parts.worker.clone()));
    Ok(Hands::new(parts.storage.clone(), sealer, parts.validator.clone(), clock, parts.limits))
}
