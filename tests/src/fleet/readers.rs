//! Clients that read the list of all nodes again and again, as quickly as they can.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Result, ensure};

use crate::wait::{PATIENCE, wait_for};

/// So many of them, until this is dropped.
pub struct Readers {
    enough: Arc<AtomicBool>,
    read: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Starts them, and waits until a list was read.
    ///
    /// # Errors
    /// None is answered.
    pub fn start(port: u16, number: usize) -> Result<Self> {
        let (enough, read) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let thread = |_| {
            let (enough, read) = (Arc::clone(&enough), Arc::clone(&read));
            thread::spawn(move || {
                while !enough.load(Ordering::Relaxed) && one(port).is_ok() {
                    read.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let threads = (0..number).map(thread).collect();
        let readers = Self { enough, read, threads };
        wait_for("a list to be read", || (readers.read() > 0).then_some(()))?;
        Ok(readers)
    }

    /// How many lists were read.
    pub fn read(&self) -> usize {
        self.read.load(Ordering::Relaxed)
    }

    /// How many of them still read.
    pub fn number(&self) -> usize {
        self.threads.iter().filter(|thread| !thread.is_finished()).count()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn one(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /v1/nodes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut buffer = vec![0; 1 << 16];
    let first = stream.read(&mut buffer)?;
    ensure!(buffer[..first].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..first]));
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}
