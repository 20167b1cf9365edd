//! Accepts connections: as many as there is room for, each in a task of its own, so that none holds up another. May import
//! `tls` and `base`.

mod descriptors;
mod listener;
mod log_rarely;
mod peers;
mod places;
mod rooms;
mod slow_reader;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

pub use self::descriptors::room_for;
pub use self::listener::listen;
use self::log_rarely::LogRarely;
use self::peers::PeerPlace;
pub use self::peers::Peers;
pub use self::places::{Place, Places, hold};
pub use self::rooms::{Full, Peer, Room};
use self::slow_reader::WriteTimeout;
use crate::base::limits;
use crate::base::outcomes::{self, Outcomes};
use crate::tls::Tls;

/// What serves connections.
pub struct Server<Serve> {
    /// Places for connections.
    pub places: Places,
    /// Places for those of one address.
    pub peers: Peers,
    /// Makes what is served on a connection from this address; from none, on one of the few that there is no room for.
    pub serve: Serve,
    /// HTTPS, if it is to be that.
    pub tls: Option<Tls>,
    /// How long a request's head may take to come, from the answer before it: a connection that is silent for longer is closed.
    pub head_timeout: Duration,
    /// How handshakes of TLS went that came to nothing.
    pub failed_handshakes: Outcomes,
}

/// A connection that was accepted.
struct Accepted {
    stream: TcpStream,
    peer: Peer,
    /// Its place.
    place: Place,
    /// Its place among those of its address; none if it is one that there is no room for.
    of_peer: Option<PeerPlace>,
}

/// Where connections come from.
struct Door {
    listener: TcpListener,
    /// Places for those that are only told that there is no room.
    refused: Places,
    complaint: LogRarely,
}

impl<Serve, Served, Sent> Server<Serve>
where
    Serve: Fn(Option<Peer>) -> Served + Send + Sync + 'static,
    Served: Service<Request<Incoming>, Response = Response<Sent>, Error = Infallible> + Send + 'static,
    Served::Future: Send + 'static,
    Sent: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    /// Serves until `stopping` becomes true and all connections have ended, or [`limits::DRAIN`] is over.
    pub async fn run(self, listener: TcpListener, mut stopping: watch::Receiver<bool>) {
        let server = Arc::new(self);
        let (refused, complaint) =
            (Places::new(limits::CONNECTIONS_REFUSED), LogRarely::new(limits::ACCEPT_COMPLAINT));
        let door = Door { listener, refused, complaint };
        let connections = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = server.accept(&door) => accepted,
                _ = stopping.wait_for(|stop| *stop) => break,
            };
            if let Some(accepted) = accepted {
                tokio::spawn(Arc::clone(&server).converse(accepted, connections.watcher()));
            }
        }
        drop(door);
        let _ = timeout(limits::DRAIN, connections.shutdown()).await;
    }

    async fn accept(&self, door: &Door) -> Option<Accepted> {
        match door.listener.accept().await {
            Ok((stream, peer)) => self.place(door, stream, peer.ip()).await,
            Err(error) => {
                door.complain(&error);
                // Out of descriptors, most likely: others have to end first.
                sleep(limits::ACCEPT_RETRY).await;
                None
            }
        }
    }

    /// None if it cannot even be told that there is no room.
    async fn place(&self, door: &Door, stream: TcpStream, peer: IpAddr) -> Option<Accepted> {
        let Some(of_peer) = self.peers.enter(peer) else {
            // Without waiting: others must not wait for one who has too many.
            return Some(Accepted { stream, peer: Peer(peer), place: door.refused.enter()?, of_peer: None });
        };
        // Whatever gets free first, if nothing is: the rest waits in the kernel's queue.
        let (place, of_peer) = tokio::select! {
            biased;
            place = self.places.wait() => (place?, Some(of_peer)),
            place = door.refused.wait() => (place?, None),
        };
        Some(Accepted { stream, peer: Peer(peer), place, of_peer })
    }

    async fn converse(self: Arc<Self>, accepted: Accepted, watcher: Watcher) {
        let Accepted { stream, peer, place, of_peer } = accepted;
        let peer = of_peer.is_some().then_some(peer);
        set_up(&stream);
        // An error is the client's: it has gone, or what it sent was answered with its fault.
        let _ = match &self.tls {
            None => self.speak(stream, peer, watcher).await,
            // In a box, or every connection without TLS would take as much memory.
            Some(tls) => Box::pin(self.speak_tls(tls, stream, peer, watcher)).await,
        };
        drop((place, of_peer));
    }

    async fn speak_tls(
        &self,
        tls: &Tls,
        stream: TcpStream,
        peer: Option<Peer>,
        watcher: Watcher,
    ) -> hyper::Result<()> {
        match timeout(limits::HANDSHAKE_TIMEOUT, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => return self.speak(stream, peer, watcher).await,
            Ok(Err(_)) => outcomes::count(&self.failed_handshakes, "refused"),
            Err(_) => outcomes::count(&self.failed_handshakes, "late"),
        }
        Ok(())
    }

    /// No `async fn`, since its future would have room for a connection twice.
    fn speak<Stream>(
        &self,
        stream: Stream,
        peer: Option<Peer>,
        watcher: Watcher,
    ) -> impl Future<Output = hyper::Result<()>> + use<Stream, Serve, Served, Sent>
    where
        Stream: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_buf_size(limits::HEADER_MAX_BYTES)
            .keep_alive(peer.is_some())
            .serve_connection(TokioIo::new(WriteTimeout::new(stream, limits::SENDING)), (self.serve)(peer));
        watcher.watch(connection)
    }
}

impl Door {
    fn complain(&self, error: &io::Error) {
        if self.complaint.may(Instant::now()) {
            tracing::warn!("a connection cannot be accepted: {error}; is the limit of open files too low?");
        }
    }
}

/// Options that a system may refuse; the connection works without them.
fn set_up(stream: &TcpStream) {
    // A long poll's answer is one small packet that must not wait for more.
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(limits::SILENCE));
    // Ends connections whose client does not read, too (tcp(7), TCP_USER_TIMEOUT; window probes since Linux 5.11).
    let _ = socket.set_tcp_user_timeout(Some(limits::UNREAD));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::Router;
    use axum::routing::get;
    use hyper_util::service::TowerToHyperService;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Whether a connection that is silent for a moment after its answer gets another one.
    async fn is_answered_after(silence: Duration, head_timeout: Duration) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/", get(|| async { "here" }));
        let server = Server {
            places: Places::new(4),
            peers: Peers::new(4),
            serve: move |_| TowerToHyperService::new(routes.clone()),
            tls: None,
            head_timeout,
            failed_handshakes: Outcomes::default(),
        };
        let (_stop, stopping) = watch::channel(false);
        tokio::spawn(server.run(listener, stopping));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut answers = 0;
        for _ in 0..2 {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let mut answer = [0; 512];
            let read = stream.read(&mut answer).await.unwrap_or_default();
            answers += usize::from(answer[..read].ends_with(b"here"));
            sleep(silence).await;
        }
        answers == 2
    }

    #[tokio::test]
    async fn a_connection_may_be_silent_for_as_long_as_its_clients_are_and_no_longer() {
        let silence = Duration::from_millis(300);
        assert!(is_answered_after(silence, Duration::from_secs(60)).await);
        assert!(!is_answered_after(silence, Duration::from_millis(50)).await);
    }
}
