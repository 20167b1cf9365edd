//! How many connections each address has, so that none can take the room of all others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The addresses that have connections.
#[derive(Clone)]
pub struct Peers {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most: usize,
}

/// A place of an address, free again when this is dropped.
pub struct PeerPlace {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    /// None yet; each may have so many.
    pub fn new(most: usize) -> Self {
        Self { counts: Arc::default(), most }
    }

    /// A place for a connection from there, if one is free.
    pub fn enter(&self, address: IpAddr) -> Option<PeerPlace> {
        // A socket that serves both families tells of IPv4 in IPv6's form.
        let address = address.to_canonical();
        let mut counts = self.counts();
        let count = counts.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(PeerPlace { peers: self.clone(), address })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PeerPlace {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.peers.counts().entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_takes_none_of_another() {
        let (peers, a) = (Peers::new(2), IpAddr::from(Ipv4Addr::new(10, 0, 0, 1)));
        let places = [peers.enter(a).unwrap(), peers.enter(a).unwrap()];
        assert!(peers.enter(a).is_none());
        assert!(peers.enter(Ipv4Addr::new(10, 0, 0, 2).into()).is_some());
        drop(places);
        assert!(peers.enter(a).is_some());
        assert!(peers.counts().is_empty(), "addresses that are gone are remembered");
    }

    #[test]
    fn an_address_is_the_same_in_both_forms() {
        let (peers, v4) = (Peers::new(1), Ipv4Addr::new(10, 0, 0, 1));
        let _place = peers.enter(v4.into()).unwrap();
        assert!(peers.enter(v4.to_ipv6_mapped().into()).is_none());
        assert!(peers.enter(Ipv6Addr::LOCALHOST.into()).is_some());
    }
}
