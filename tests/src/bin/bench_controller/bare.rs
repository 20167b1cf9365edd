//! A server that does nothing but answer, in a process of its own: the least that hyper costs.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tempfile::NamedTempFile;
use tokio::net::TcpSocket;
use tokio::sync::Notify;

/// One that answers every request with the same body; but one that says `since`, only when somebody asks for [`WAKE`].
pub struct Server {
    child: Child,
    port: u16,
    _body: NamedTempFile,
}

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4096;

/// What has all be answered that wait.
const WAKE: &str = "/wake";

impl Server {
    /// Starts one.
    pub fn start(body: &str) -> Result<Self> {
        let mut file = NamedTempFile::new()?;
        file.write_all(body.as_bytes())?;
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("bare").arg(file.path()).stdout(Stdio::piped()).spawn()?;
        let mut port = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut port)?;
        Ok(Self { child, port: port.trim().parse()?, _body: file })
    }

    /// Where everything is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Has all be answered that wait.
    pub fn wake(&self) -> Result<()> {
        crik_tests::http::get(&(self.url() + WAKE.trim_start_matches('/'))).map(drop)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As many threads as the controller has.
pub fn serve(body: Vec<u8>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        // As the controller: whom the kernel turns away comes again a second later.
        let listener = socket.listen(BACKLOG)?;
        println!("{}", listener.local_addr()?.port());
        let (body, bell) = (Bytes::from(body), Arc::new(Notify::new()));
        loop {
            let (stream, _) = listener.accept().await?;
            let _ = stream.set_nodelay(true);
            let (body, bell) = (body.clone(), Arc::clone(&bell));
            let service = service_fn(move |request| answer(request, body.clone(), Arc::clone(&bell)));
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    })
}

type Answer = hyper::Response<http_body_util::Full<Bytes>>;

async fn answer(request: Request<Incoming>, body: Bytes, bell: Arc<Notify>) -> Result<Answer, Infallible> {
    let waits = request.uri().query().is_some_and(|query| !query.ends_with("since="));
    if waits {
        bell.notified().await;
    } else if request.uri().path() == WAKE {
        bell.notify_waiters();
    }
    let mut answer = Answer::new(http_body_util::Full::new(body));
    // What is said of a node has it too.
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(answer)
}
