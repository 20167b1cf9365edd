//! Thousands of agents that wait for their nodes by long poll, in one process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::way::{Stream, Way};
use crate::wait::PATIENCE;

/// How many connections are opened at once: a listener's queue has an end.
const AT_ONCE: usize = 64;

/// Polls that wait; all are dropped with it.
pub struct Swarm {
    runtime: Runtime,
    answers: UnboundedReceiver<Result<Answer>>,
}

/// What came to one poll.
pub struct Answer {
    /// The node that it asked for.
    pub name: String,
    /// When it came.
    pub at: Instant,
    /// The whole of it, head and body.
    pub text: String,
    /// Whether it tells another version than the poll knew: not at the end of the wait, and not at a stop.
    pub changed: bool,
}

impl Swarm {
    /// Sends one poll for each name, to be answered at the first change after its version, and returns when all are sent. Each
    /// goes on to poll for the version that it was told. Their heads are `padded` by so many bytes.
    ///
    /// # Errors
    /// A connection is refused.
    pub fn start(way: &Way, polls: &BTreeMap<String, String>, padded: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (sender, answers) = unbounded_channel();
        let (opened, mut open) = unbounded_channel();
        let room = Arc::new(Semaphore::new(AT_ONCE));
        for (number, (name, since)) in polls.iter().enumerate() {
            let (name, since) = (name.clone(), since.clone());
            let poll = Poll { name, since, padding: "x".repeat(padded), answers: sender.clone() };
            runtime.spawn(poll.run(way.clone(), number, Arc::clone(&room), opened.clone()));
        }
        drop(opened);
        let sent = async {
            let mut sent = 0;
            while let Some(outcome) = timeout(PATIENCE, open.recv()).await? {
                let () = outcome?;
                sent += 1;
            }
            anyhow::Ok(sent)
        };
        let sent: usize = runtime.block_on(sent)?;
        ensure!(sent == polls.len(), "{sent} of {} polls were sent", polls.len());
        Ok(Self { runtime, answers })
    }

    /// The next answer to any of them.
    ///
    /// # Errors
    /// None comes within `patience`, or a connection was lost.
    pub fn answer(&mut self, patience: Duration) -> Result<Answer> {
        let next = self.runtime.block_on(async { timeout(patience, self.answers.recv()).await });
        next.context("no poll was answered")?.context("all polls have ended")?
    }
}

impl Swarm {
    /// The next answer that tells of a change.
    ///
    /// # Errors
    /// None comes within `patience`, or a connection was lost.
    pub fn change(&mut self, patience: Duration) -> Result<Answer> {
        let deadline = Instant::now() + patience;
        loop {
            let answer = self.answer(deadline.saturating_duration_since(Instant::now()))?;
            if answer.changed {
                return Ok(answer);
            }
        }
    }

    /// True unless all polls have ended and all that came of them was told.
    pub fn goes_on(&self) -> bool {
        !(self.answers.is_closed() && self.answers.is_empty())
    }
}

struct Poll {
    name: String,
    since: String,
    padding: String,
    answers: UnboundedSender<Result<Answer>>,
}

impl Poll {
    async fn run(
        mut self,
        way: Way,
        number: usize,
        room: Arc<Semaphore>,
        opened: UnboundedSender<Result<()>>,
    ) {
        let first = async {
            let _permit = room.acquire().await?;
            let mut stream = way.connect(number).await?;
            self.ask(&mut stream).await?;
            anyhow::Ok(stream)
        };
        let mut stream = match first.await {
            Ok(stream) => stream,
            Err(error) => {
                let _ = opened.send(Err(error));
                return;
            }
        };
        let _ = opened.send(Ok(()));
        drop(opened);
        loop {
            let answer = self.hear(&mut stream).await;
            let over = answer.is_err();
            if self.answers.send(answer).is_err() || over || self.ask(&mut stream).await.is_err() {
                return;
            }
        }
    }

    async fn ask(&self, stream: &mut Box<dyn Stream>) -> Result<()> {
        let (name, since, padding) = (&self.name, &self.since, &self.padding);
        let request = format!(
            "GET /v1/nodes/{name}?wait=300s&since={since} HTTP/1.1\r\nHost: controller\r\nX: {padding}\r\n\r\n"
        );
        Ok(stream.write_all(request.as_bytes()).await?)
    }

    async fn hear(&mut self, stream: &mut Box<dyn Stream>) -> Result<Answer> {
        let (mut text, mut buffer) = (Vec::new(), [0; 2048]);
        while !is_whole(&text) {
            match stream.read(&mut buffer).await? {
                0 => bail!("the poll for {} was not answered", self.name),
                read => text.extend_from_slice(&buffer[..read]),
            }
        }
        let (at, text) = (Instant::now(), String::from_utf8(text)?);
        let version = text.split("\"version\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let version = version.with_context(|| format!("no version in {text}"))?.to_owned();
        let changed = version != self.since;
        self.since = version;
        Ok(Answer { name: self.name.clone(), at, text, changed })
    }
}

/// True if this is an answer with all of its body.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| bytes.len() >= end + 4 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert!(is_whole(answer));
        assert!(!is_whole(&answer[..answer.len() - 1]) && !is_whole(&answer[..20]));
    }
}
