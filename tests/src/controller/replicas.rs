//! Several replicas of the controller behind one name, each at an address of its own, some of which are in no good state.

use std::io::{Read, copy};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Result;

use crate::network::Network;

/// The name, as a headless Service has one.
pub const NAME: &str = "crik-controller.crik";

/// What is at an address.
#[derive(Debug, Clone, Copy)]
pub enum Replica {
    /// A controller that serves on this port of this machine.
    Serves(u16),
    /// Nobody, on a machine that says so.
    Refuses,
    /// A program that takes connections and says nothing.
    Hangs,
    /// A machine that is gone: what is sent there is lost.
    Dead,
}

/// All addresses of the name.
pub struct Replicas {
    port: u16,
    addresses: Vec<IpAddr>,
    doors: Vec<Door>,
}

impl Replicas {
    /// Puts these at addresses that a pod in `network` can reach.
    ///
    /// # Errors
    /// iproute2 refuses.
    pub fn new(network: &Network, replicas: &[Replica]) -> Result<Self> {
        let mut all = Self { port: free_port()?, addresses: Vec::new(), doors: Vec::new() };
        for (number, replica) in (1..).zip(replicas) {
            let address = match replica {
                Replica::Dead => network.lost_address(number),
                _ => network.address(number)?,
            };
            match replica {
                Replica::Serves(port) => all.doors.push(Door::open((address, all.port).into(), Some(*port))?),
                Replica::Hangs => all.doors.push(Door::open((address, all.port).into(), None)?),
                Replica::Refuses | Replica::Dead => {}
            }
            all.addresses.push(address);
        }
        Ok(all)
    }

    /// What the resolver of a pod is to know.
    pub fn hosts(&self) -> String {
        self.addresses.iter().map(|address| format!("{address} {NAME}\n")).collect()
    }

    /// The value of `nodeStateServerURL`.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{NAME}:{}", self.port)
    }

    /// Lets the n-th replica that serves or hangs end: its connections are cut, and further ones refused.
    pub fn end(&mut self, n: usize) {
        drop(self.doors.remove(n));
    }

    /// How many connections the n-th replica that serves or hangs has taken.
    pub fn connections(&self, n: usize) -> usize {
        lock(&self.doors[n].open).len()
    }
}

/// Passes connections on, without a look into them.
struct Door {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
    closed: Arc<Mutex<bool>>,
}

impl Door {
    fn open(address: SocketAddr, to: Option<u16>) -> Result<Self> {
        let listener = TcpListener::bind(address)?;
        let door = Self { address, open: Arc::default(), closed: Arc::default() };
        let (open, closed) = (Arc::clone(&door.open), Arc::clone(&door.closed));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if *lock(&closed) {
                    return;
                }
                let _ = pass_on(stream, to, &open);
            }
        });
        Ok(door)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        *lock(&self.closed) = true;
        // Wakes the listener, which then ends.
        let _ = TcpStream::connect(self.address);
        for stream in lock(&self.open).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pass_on(client: TcpStream, to: Option<u16>, open: &Mutex<Vec<TcpStream>>) -> Result<()> {
    lock(open).push(client.try_clone()?);
    let Some(port) = to else {
        let mut client = client;
        // Until the client has had enough.
        thread::spawn(move || while matches!(client.read(&mut [0; 4096]), Ok(1..)) {});
        return Ok(());
    };
    let server = TcpStream::connect(("127.0.0.1", port))?;
    for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        thread::spawn(move || {
            let _ = copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}

fn lock<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One that nobody listens on.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("0.0.0.0", 0))?.local_addr()?.port())
}
