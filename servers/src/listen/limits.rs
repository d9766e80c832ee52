//! How many connections there may be, in all and for one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many connections all doors together let in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// In all.
    pub(crate) connections_max: usize,
    /// From one address; an IPv6 client has a network of 64 bits.
    pub(crate) connections_per_address_max: usize,
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
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are too many.
    Connections,
    /// There are too many of this address.
    Address,
}

impl Full {
    /// What the operator can do.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::Connections => "there are connections_max already",
            Self::Address => "its address has connections_per_address_max already; raise it for a proxy in front",
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
        if taken.all >= self.limits.connections_max {
            return Err(Full::Connections);
        }
        let of_address = taken.by_address.entry(address).or_default();
        if *of_address >= self.limits.connections_per_address_max {
            return Err(Full::Address);
        }
        *of_address += 1;
        taken.all += 1;
        Ok(Slot { slots: self.clone(), address })
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
    fn a_slot_is_free_again_when_its_connection_ends() {
        let slots = Slots::new(ConnectionLimits { connections_max: 3, connections_per_address_max: 2 });
        let take = |address: &str| slots.take(address.parse().unwrap());
        let first = take("10.0.0.1").unwrap();
        let _second = take("::ffff:10.0.0.1").unwrap();
        assert_eq!(take("10.0.0.1").unwrap_err(), Full::Address);
        let third = take("2001:db8::1").unwrap();
        assert_eq!(take("2001:db8:0:1::1").unwrap_err(), Full::Connections);
        drop(first);
        let _again = take("2001:db8::2").unwrap();
        assert_eq!(take("2001:db8::9").unwrap_err(), Full::Connections);
        drop(third);
        drop(take("2001:db8::3").unwrap());
        assert_eq!(slots.taken().all, 2);
    }
}
