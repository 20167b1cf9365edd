//! A wire to a server on the loopback that can be cut the way a network is: in silence, or with a reset.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Result;

/// A TCP proxy; its connections are closed when this is dropped.
pub struct Wire {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// What becomes of a new connection.
#[derive(Clone, Copy, Default, PartialEq)]
enum Mode {
    #[default]
    Carrying,
    Silent,
    Refusing,
}

#[derive(Default)]
struct State {
    mode: Mode,
    /// Counts the cuts: a connection from before one never carries anything again, as behind a firewall that has forgotten it.
    cuts: u64,
    ended: bool,
    /// Where new connections lead.
    port: u16,
    open: Vec<TcpStream>,
}

impl Wire {
    /// One to a port of the loopback.
    ///
    /// # Errors
    /// There is no port left.
    pub fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let state = Arc::new(Mutex::new(State { port, ..State::default() }));
        let wire = Self { address: listener.local_addr()?, state: Arc::clone(&state) };
        thread::spawn(move || accept(&listener, &state));
        Ok(wire)
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops to carry, without a word to either side. New connections are accepted and hear nothing.
    pub fn cut(&self) {
        self.set(Mode::Silent);
    }

    /// Ends all connections, and every new one at once.
    pub fn reset(&self) {
        self.set(Mode::Refusing);
        close(&mut self.lock());
    }

    /// Carries again, over new connections only.
    pub fn mend(&self) {
        self.lock().mode = Mode::Carrying;
    }

    /// Leads new connections to another port; those that are open stay where they are, as behind a Service.
    pub fn lead_to(&self, port: u16) {
        self.lock().port = port;
    }

    fn set(&self, mode: Mode) {
        let mut state = self.lock();
        state.mode = mode;
        state.cuts += 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.lock().ended = true;
        close(&mut self.lock());
        // Wakes the thread that accepts, so that it sees the end.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn close(state: &mut State) {
    for stream in state.open.drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn accept(listener: &TcpListener, state: &Arc<Mutex<State>>) {
    for client in listener.incoming().flatten() {
        let mut locked = lock(state);
        if locked.ended {
            return;
        }
        if locked.mode == Mode::Refusing {
            continue;
        }
        // A server that is down refuses, and so does the wire: by the end of the connection.
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, locked.port)) else { continue };
        let _ = client.try_clone().map(|copy| locked.open.push(copy));
        if locked.mode == Mode::Silent {
            continue;
        }
        let _ = server.try_clone().map(|copy| locked.open.push(copy));
        let cuts = locked.cuts;
        for (from, to) in [(&client, &server), (&server, &client)] {
            if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
                let state = Arc::clone(state);
                thread::spawn(move || carry(from, to, &state, cuts));
            }
        }
    }
}

/// Carries one direction until an end or a cut.
fn carry(mut from: TcpStream, mut to: TcpStream, state: &Mutex<State>, cuts: u64) {
    let mut buffer = [0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        if lock(state).cuts != cuts {
            // The other side must not learn of it: the streams stay open in the list.
            return;
        }
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
    }
}
