//! A proxy for HTTPS, by the method CONNECT, through which everything comes to this machine whatever its name.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};

/// A proxy, which serves until the process ends.
pub struct ConnectProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    /// Starts one.
    ///
    /// # Errors
    /// There is no port left.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let proxy = Self { address: listener.local_addr()?, asked: Arc::default() };
        let asked = Arc::clone(&proxy.asked);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let asked = Arc::clone(&asked);
                thread::spawn(move || serve(client, &asked));
            }
        });
        Ok(proxy)
    }

    /// What clients have it by.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where clients wanted to be led, `HOST:PORT` each.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(mut client: TcpStream, asked: &Mutex<Vec<String>>) -> Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let target =
        first.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).context("no CONNECT")?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(target.to_owned());
    let port = target.rsplit(':').next().context("no port")?.parse()?;
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (from, mut to) = (client.try_clone()?, server.try_clone()?);
    // The reader may have what came behind the head.
    thread::spawn(move || {
        let mut from = reader;
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut server = server;
    let _ = io::copy(&mut server, &mut client);
    let _ = from.shutdown(Shutdown::Both);
    Ok(())
}
