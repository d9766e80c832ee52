//! How many connections there may be, in all and for one address.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many file descriptors are kept for the store and everything else that is no connection.
const FILES_RESERVED: usize = 256;

/// How many connections all doors together let in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// In all.
    pub(crate) connections_max: usize,
    /// From one address; an IPv6 client has a network of 64 bits.
    pub(crate) connections_per_address_max: usize,
}

impl ConnectionLimits {
    /// The same, lowered to what a process can serve that may open so many files: where there are few, half of them.
    pub(crate) fn within(self, files: usize) -> Self {
        let most = files.saturating_sub(FILES_RESERVED).max(files / 2);
        Self { connections_max: self.connections_max.min(most), ..self }
    }
}

/// Lets the process open as many files as it may ever; says how many.
pub(crate) fn raise_file_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let count = if raised.is_ok() { limit.maximum } else { limit.current };
    count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX)
}

/// Counts connections.
#[derive(Debug)]
pub(crate) struct Slots {
    limits: ConnectionLimits,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    counts: ConnectionStats,
}

/// What became of connections so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ConnectionStats {
    /// Those that there are now.
    pub(crate) open: u64,
    /// Those that were let in.
    pub(crate) accepted: u64,
    /// Those that were not, because there were too many.
    pub(crate) refused: u64,
    /// Those that were not, because there were too many of their address.
    pub(crate) refused_for_address: u64,
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are so many already.
    Connections(usize),
    /// There are so many of this address already.
    Address(usize),
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connections(most) => {
                write!(f, "there are {most} already (connections_max, and the process's limit of open files)")
            }
            Self::Address(most) => write!(
                f,
                "its address has {most} already (connections_per_address_max; raise it where a proxy is in front)"
            ),
        }
    }
}

impl Slots {
    /// Slots within limits.
    pub(crate) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits, taken: Mutex::default() })
    }

    /// Takes a slot, which is free again when it is dropped.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Slot, Full> {
        let address = network(address);
        let mut taken = self.taken();
        let taken = &mut *taken;
        if taken.all >= self.limits.connections_max {
            taken.counts.refused += 1;
            return Err(Full::Connections(taken.all));
        }
        let of_address = taken.by_address.entry(address).or_default();
        if *of_address >= self.limits.connections_per_address_max {
            taken.counts.refused_for_address += 1;
            return Err(Full::Address(*of_address));
        }
        *of_address += 1;
        taken.all += 1;
        taken.counts.accepted += 1;
        Ok(Slot { slots: self.clone(), address })
    }

    /// What became of connections so far.
    pub(crate) fn stats(&self) -> ConnectionStats {
        let taken = self.taken();
        ConnectionStats { open: taken.all as u64, ..taken.counts }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    address: IpAddr,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        taken.all -= 1;
        if let Some(left) = taken.by_address.get_mut(&self.address) {
            *left -= 1;
            if *left == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// What counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_left_for_the_store() {
        let limits = ConnectionLimits { connections_max: 1000, connections_per_address_max: 2 };
        for (files, connections) in [(usize::MAX, 1000), (1256, 1000), (1255, 999), (512, 256), (64, 32)] {
            assert_eq!(limits.within(files).connections_max, connections, "{files}");
        }
    }

    #[test]
    fn a_slot_is_free_again_when_its_connection_ends() {
        let slots = Slots::new(ConnectionLimits { connections_max: 3, connections_per_address_max: 2 });
        let take = |address: &str| slots.take(address.parse().unwrap());
        let first = take("10.0.0.1").unwrap();
        let _second = take("::ffff:10.0.0.1").unwrap();
        assert_eq!(take("10.0.0.1").unwrap_err(), Full::Address(2));
        let third = take("2001:db8::1").unwrap();
        assert_eq!(take("2001:db8:0:1::1").unwrap_err(), Full::Connections(3));
        drop(first);
        let _again = take("2001:db8::2").unwrap();
        assert_eq!(take("2001:db8::9").unwrap_err(), Full::Connections(3));
        drop(third);
        drop(take("2001:db8::3").unwrap());
        let expected = ConnectionStats { open: 2, accepted: 5, refused: 2, refused_for_address: 1 };
        assert_eq!(slots.stats(), expected);
    }
}
