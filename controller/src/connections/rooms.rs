//! Places for what clients hold open, as many as there are in all and a few for each address, so that none can take them from
//! the others.

use std::net::IpAddr;

use thiserror::Error;

use super::peers::{PeerPlace, Peers};
use super::places::{Place, Places};

/// The address that a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Places for one kind of answer.
pub struct Room {
    places: Places,
    peers: Peers,
}

/// A place, free again when this is dropped.
pub struct Taken {
    _place: Place,
    _of_peer: PeerPlace,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Full {
    /// The address has all that it may have.
    #[error("from your address")]
    ForPeer,
    /// All are taken.
    #[error("here")]
    ForAll,
}

impl Room {
    /// So many in all, and so many for each address.
    pub fn new(size: usize, for_each: usize) -> Self {
        Self { places: Places::new(size), peers: Peers::new(for_each) }
    }

    /// A place for one who asks from there.
    ///
    /// # Errors
    /// None is free.
    pub fn enter(&self, Peer(address): Peer) -> Result<Taken, Full> {
        let of_peer = self.peers.enter(address).ok_or(Full::ForPeer)?;
        let place = self.places.enter().ok_or(Full::ForAll)?;
        Ok(Taken { _place: place, _of_peer: of_peer })
    }

    /// Those in all.
    pub fn places(&self) -> &Places {
        &self.places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_them_from_the_others() {
        let peer = |last| Peer(IpAddr::from([10, 0, 0, last]));
        let room = Room::new(3, 2);
        let mine = [room.enter(peer(1)).ok(), room.enter(peer(1)).ok()];
        assert!(mine.iter().all(Option::is_some));
        assert_eq!(room.enter(peer(1)).err(), Some(Full::ForPeer));
        let other = room.enter(peer(2)).ok();
        assert_eq!((other.is_some(), room.enter(peer(3)).err()), (true, Some(Full::ForAll)));
        drop(mine);
        assert!(room.enter(peer(1)).is_ok() && room.places().taken() == 1);
    }
}
