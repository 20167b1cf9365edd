//! A client at an address of this machine's own choice, which reads as slowly as it likes.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use anyhow::Result;
use socket2::{Domain, Socket, Type};

use super::Controller;
use crate::wait::PATIENCE;

/// The smallest buffer that the kernel gives, so that what is not read stays with the one who sends.
const SMALL: usize = 4 << 10;

impl Controller {
    /// Asks for `path` from 127.0.0.`last`, on a connection that is kept.
    ///
    /// # Errors
    /// There is no connection.
    pub fn ask_from(&self, last: u8, path: &str) -> Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_recv_buffer_size(SMALL)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into())?;
        socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, self.port())).into())?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
        Ok(stream)
    }
}

/// The status line of what comes first.
///
/// # Errors
/// Nothing comes.
pub fn status_line(stream: &mut TcpStream) -> Result<String> {
    let mut line = [0; 12];
    stream.read_exact(&mut line)?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}
