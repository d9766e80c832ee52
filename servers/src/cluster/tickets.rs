//! Worker tokens: each opens one stream, or renews one, and is worth nothing afterwards.
//!
//! They are random and only in this process's memory, as digests: a forged one is none, one that was used is gone, and
//! after a restart of the main a worker subscribes again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use delta_core::auth::unauthorized;
use delta_core::keys::{Secret, SecretText};
use delta_core::name::WriterId;
use delta_core::{Error, Result};
use sha2::{Digest, Sha256};

/// How long a token may be used after it was given out.
pub(crate) const USE_WITHIN: Duration = Duration::from_secs(30);
/// How many tokens may be out.
const TICKETS_MAX: usize = 10_000;
/// How every worker token begins.
const PREFIX: &str = "dw_";

/// What a token stands for.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    /// Whose it is.
    pub(crate) worker: WriterId,
    /// Whether it was given to a certificate, and counts only where that is shown.
    pub(crate) certified: bool,
    /// Whether it renews a stream that is open, instead of opening one.
    pub(crate) renews: bool,
    /// What the worker says about itself.
    pub(crate) tags: HashMap<String, String>,
    /// When the worker must have subscribed again.
    pub(crate) expires: Instant,
}

/// The digest of a token, by which it is known.
pub(crate) type TokenDigest = [u8; 32];

/// The digest of a token.
pub(crate) fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token).into()
}

/// The tokens that are out.
#[derive(Debug, Default)]
pub(crate) struct Tickets(Mutex<HashMap<TokenDigest, (Instant, Ticket)>>);

impl Tickets {
    /// A token for a worker.
    pub(crate) fn issue(&self, ticket: Ticket, now: Instant) -> Result<SecretText> {
        let token = SecretText::new(format!("{PREFIX}{}", Secret::<32>::random()?.to_hex().as_str()));
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.retain(|_, (issued, _)| now.saturating_duration_since(*issued) < USE_WITHIN);
        if out.len() >= TICKETS_MAX {
            let message = format!("{TICKETS_MAX} workers have subscribed and not begun; try again");
            return Err(Error::unavailable(message));
        }
        out.insert(digest(token.expose()), (now, ticket));
        Ok(token)
    }

    /// What a token stands for, once: `Unauthorized` for one that is forged, used, or too old.
    pub(crate) fn redeem(&self, token: &str, now: Instant) -> Result<Ticket> {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match out.remove(&digest(token)) {
            Some((issued, ticket)) if now.saturating_duration_since(issued) < USE_WITHIN && now < ticket.expires => {
                Ok(ticket)
            }
            _ => Err(unauthorized("this needs a worker's token that has not been used; subscribe for a new one")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(now: Instant, lifetime: Duration) -> Ticket {
        let worker = WriterId::parse("w").unwrap();
        Ticket { worker, certified: false, renews: false, tags: HashMap::new(), expires: now + lifetime }
    }

    #[test]
    fn a_token_counts_once_and_not_for_long() {
        let (tickets, now, hour) = (Tickets::default(), Instant::now(), Duration::from_secs(3600));
        let token = tickets.issue(ticket(now, hour), now).unwrap();
        assert!(tickets.redeem("dw_forged", now).is_err());
        assert_eq!(tickets.redeem(token.expose(), now).unwrap().worker.as_str(), "w");
        assert!(tickets.redeem(token.expose(), now).is_err(), "used");
        let late = tickets.issue(ticket(now, hour), now).unwrap();
        assert!(tickets.redeem(late.expose(), now + USE_WITHIN).is_err(), "too old");
        let short = tickets.issue(ticket(now, Duration::from_secs(1)), now).unwrap();
        assert!(tickets.redeem(short.expose(), now + Duration::from_secs(1)).is_err(), "expired");
    }

    #[test]
    fn there_are_so_many_tokens_and_no_more() {
        let (tickets, now, hour) = (Tickets::default(), Instant::now(), Duration::from_secs(3600));
        for _ in 0..TICKETS_MAX {
            tickets.issue(ticket(now, hour), now).unwrap();
        }
        assert!(tickets.issue(ticket(now, hour), now).is_err());
        assert!(tickets.issue(ticket(now, hour), now + USE_WITHIN).is_ok());
    }
}
