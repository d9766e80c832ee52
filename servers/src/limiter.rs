//! The limiter on failed credentials: a token bucket for each client address.
//!
//! Only failures take tokens, and a valid credential is never refused for its address, so nobody can lock out a neighbour
//! behind the same address. IPv6 counts by /64, which is what one customer gets. The surprise: the addresses are bounded
//! too, so one that has not been heard of for long has a full bucket again.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use delta_core::{Error, ErrorKind, Result};
use lru::LruCache;

/// How many addresses are remembered, the latest ones.
const ADDRESSES_MAX: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
/// Failures that an address may have at once, unless configured.
pub(crate) const BURST: NonZeroU32 = NonZeroU32::new(2_000).unwrap();
/// Failures that an address may have each second after that, unless configured.
pub(crate) const RATE_PER_SEC: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// The buckets of all addresses.
pub(crate) struct Limiter {
    burst: f64,
    rate_per_sec: f64,
    buckets: Mutex<LruCache<IpAddr, Bucket>>,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Limiter {
    /// Full buckets of `burst` tokens that get `rate_per_sec` more each second: at least one, so that a refused client
    /// may try again after a second.
    pub(crate) fn new(burst: NonZeroU32, rate_per_sec: NonZeroU32) -> Self {
        Self {
            burst: burst.get().into(),
            rate_per_sec: rate_per_sec.get().into(),
            buckets: Mutex::new(LruCache::new(ADDRESSES_MAX)),
        }
    }

    /// The result of a credential check, unless it is a failure and the address had too many of them.
    pub(crate) fn judge<T>(&self, client: IpAddr, checked: Result<T>) -> Result<T> {
        match checked {
            Err(error) if error.kind() == ErrorKind::Unauthorized && !self.take(client, Instant::now()) => {
                let message = "too many wrong credentials came from this address; wait a second, and send a valid one";
                Err(Error::new(ErrorKind::Throttled, message))
            }
            checked => checked,
        }
    }

    /// Takes a token of an address; says whether there was one.
    fn take(&self, client: IpAddr, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.get_or_insert_mut(network(client), || Bucket { tokens: self.burst, filled: now });
        let gained = now.saturating_duration_since(bucket.filled).as_secs_f64() * self.rate_per_sec;
        bucket.tokens = (bucket.tokens + gained).min(self.burst);
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

/// Whose failures are counted together: one IPv4 address, however it is written, or one IPv6 /64.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limiter(burst {}, {} per second)", self.burst, self.rate_per_sec)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limiter(burst: u32, rate_per_sec: u32) -> Limiter {
        Limiter::new(NonZeroU32::new(burst).unwrap(), NonZeroU32::new(rate_per_sec).unwrap())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let (limiter, client, begun) = (limiter(3, 2), address("192.0.2.1"), Instant::now());
        let taken = |at: Duration| (0..9).filter(|_| limiter.take(client, begun + at)).count();
        assert_eq!(taken(Duration::ZERO), 3);
        assert_eq!(taken(Duration::from_millis(499)), 0);
        assert_eq!(taken(Duration::from_millis(1000)), 2);
        assert_eq!(taken(Duration::from_secs(3600)), 3);
    }

    #[test]
    fn only_failures_count_and_only_they_are_refused() {
        let (limiter, client) = (limiter(1, 1), address("192.0.2.1"));
        let wrong = || Err::<(), _>(delta_core::auth::unauthorized("wrong"));
        let unavailable = || Err::<(), _>(Error::unavailable("no storage"));
        (0..9).for_each(|_| limiter.judge(client, Ok(())).unwrap());
        assert_eq!(limiter.judge(client, unavailable()).unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(limiter.judge(client, wrong()).unwrap_err().kind(), ErrorKind::Unauthorized);
        assert_eq!(limiter.judge(client, wrong()).unwrap_err().kind(), ErrorKind::Throttled);
        limiter.judge(client, Ok(())).unwrap();
        assert_eq!(limiter.judge(address("192.0.2.2"), wrong()).unwrap_err().kind(), ErrorKind::Unauthorized);
    }

    #[test]
    fn an_address_counts_by_what_one_customer_gets() {
        for (one, other, same) in [
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ] {
            assert_eq!(network(address(one)) == network(address(other)), same, "{one} {other}");
        }
    }

    #[test]
    fn the_addresses_are_bounded_and_the_latest_stay() {
        let (limiter, now) = (limiter(1, 1), Instant::now());
        for number in 0..2 * u32::try_from(ADDRESSES_MAX.get()).unwrap() {
            assert!(limiter.take(IpAddr::from(number.to_be_bytes()), now));
        }
        assert_eq!(limiter.buckets.lock().unwrap().len(), ADDRESSES_MAX.get());
        assert!(!limiter.take(IpAddr::from((2 * u32::try_from(ADDRESSES_MAX.get()).unwrap() - 1).to_be_bytes()), now));
    }
}
