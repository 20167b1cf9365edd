//! The control socket, on which `crik checkpoint` asks the agent of its container.
//!
//! One request and any number of answers, each a line of JSON.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use crik_store::generation::manifest::{self, Manifest};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::base::limits;
use crate::base::units::whole_ms;
use crate::checkpoint::dump_progress::Progress;
use crate::supervise::known::Known;
use crate::supervise::trial::Tried;

/// What may be asked.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Request {
    /// For a checkpoint.
    Checkpoint(CheckpointRequest),
    /// What is known.
    Look(#[allow(dead_code, reason = "it is told by its form")] LookRequest),
    /// For a trial.
    Trial(TrialRequest),
}

/// What `crik doctor --trial` asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrialRequest {
    /// Nothing but that it is this.
    pub trial: bool,
    /// Whether the image is kept for another pod that resumes it, and no copy is made here.
    #[serde(default)]
    pub keep: bool,
}

/// What the agent is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// A checkpoint.
    Checkpoint(CheckpointRequest),
    /// A trial.
    Trial(TrialRequest),
}

/// What `crik doctor` asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LookRequest {
    /// Nothing but that it is this.
    pub look: bool,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckpointRequest {
    /// Whether the application goes on afterwards.
    pub leave_running: bool,
    /// Whether it stands still afterwards, until the pod is ended. Left out where it is not, for an agent of an earlier release.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stay_stopped: bool,
}

/// What is answered. The last one is not `Progress`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// It goes on.
    Progress(Progress),
    /// It is durable.
    Committed(Committed),
    /// There is no checkpoint, for this reason.
    Failed(String),
    /// What is known.
    Known(Box<Known>),
    /// What a trial has shown.
    Tried(Box<Tried>),
}

/// Tells what is known, at once.
pub type Tell = Arc<dyn Fn() -> Known + Send + Sync>;

/// What is told of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Committed {
    /// Its number.
    pub generation: u64,
    /// Its size.
    pub bytes: u64,
    /// For how many milliseconds the application stood still, if it goes on.
    pub pause_ms: Option<u64>,
    /// For how many milliseconds it stands still if nobody ends the pod; none if it goes on or has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_still_ms: Option<u64>,
}

impl Answer {
    /// That `manifest` is committed.
    pub fn committed(manifest: &Manifest) -> Self {
        Self::Committed(Committed {
            generation: manifest.generation.0,
            bytes: manifest.total_bytes(),
            pause_ms: manifest.durations_ms.get(manifest::PAUSE).copied(),
            stands_still_ms: None,
        })
    }

    /// The same of a program that stands still after it, for so long if nobody ends its pod.
    pub fn standing(manifest: &Manifest, patience: Duration) -> Self {
        match Self::committed(manifest) {
            Self::Committed(committed) => {
                Self::Committed(Committed { stands_still_ms: Some(whole_ms(patience)), ..committed })
            }
            other => other,
        }
    }

    /// That there is no checkpoint.
    pub fn failed(reason: &str) -> Self {
        Self::Failed(reason.to_owned())
    }
}

/// Where the answers of one request go.
#[derive(Debug)]
pub struct Reply(mpsc::UnboundedSender<Answer>);

impl Reply {
    /// Answers. Who has asked may have gone.
    pub fn send(&self, answer: Answer) {
        let _ = self.0.send(answer);
    }

    /// Answers, and waits until who has asked has gone with it: the end of the container's first process is the end of all.
    pub async fn send_last(self, answer: Answer) {
        self.send(answer);
        let _ = timeout(limits::CONTROL_PATIENCE, self.0.closed()).await;
    }
}

/// A request with its way back.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub request: Wish,
    /// Where the answers go.
    pub reply: Reply,
}

/// The address of the socket of the container in which the caller is.
///
/// # Errors
/// The PID namespace cannot be learned.
pub fn address() -> io::Result<SocketAddr> {
    let namespace = std::fs::read_link("/proc/self/ns/pid")?;
    let name = format!("{}{}", limits::CONTROL_SOCKET, namespace.display());
    SocketAddr::from_abstract_name(name)
}

/// Takes requests.
pub struct Control(Option<mpsc::UnboundedReceiver<Asked>>);

impl Control {
    /// Listens. Without a socket there are no requests, which the log says.
    pub fn listen(progress: &watch::Sender<Progress>, known: Tell) -> Self {
        match bind() {
            Ok(listener) => {
                let (tell, asked) = mpsc::unbounded_channel();
                tokio::spawn(accept(listener, tell, progress.clone(), known));
                Self(Some(asked))
            }
            Err(error) => {
                tracing::warn!("crik checkpoint will not work here: {error}");
                Self(None)
            }
        }
    }

    /// Waits for a request. Nothing is lost if this is dropped while it waits.
    pub async fn next(&mut self) -> Asked {
        if let Some(requests) = &mut self.0
            && let Some(asked) = requests.recv().await
        {
            return asked;
        }
        std::future::pending().await
    }
}

fn bind() -> io::Result<UnixListener> {
    let listener = StdListener::bind_addr(&address()?)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

async fn accept(
    listener: UnixListener,
    tell: mpsc::UnboundedSender<Asked>,
    progress: watch::Sender<Progress>,
    known: Tell,
) {
    let (mut failing, places) = (false, Arc::new(Semaphore::new(limits::CONTROL_PEERS_MAX)));
    // Who only holds connections open uses up no descriptors: others wait in the kernel until one of them is given up.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                if !failing {
                    tracing::warn!("crik checkpoint has to wait: a connection cannot be taken: {error}");
                }
                failing = true;
                sleep(limits::ACCEPT_PAUSE).await;
                continue;
            }
        };
        failing = false;
        if is_allowed(&stream) {
            let served = serve(stream, tell.clone(), progress.subscribe(), Arc::clone(&known));
            tokio::spawn(async move {
                served.await;
                drop(place);
            });
        }
    }
}

/// The socket has no mode, so whoever shares the network can connect: other containers of the pod, and with `hostNetwork` the whole
/// node. Who is in none of this container's processes has no id here (unix(7), pid_namespaces(7)).
fn is_allowed(stream: &UnixStream) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own && peer.pid().is_some_and(|pid| pid > 0))
}

async fn serve(
    mut stream: UnixStream,
    tell: mpsc::UnboundedSender<Asked>,
    mut progress: watch::Receiver<Progress>,
    known: Tell,
) {
    let request = match timeout(limits::CONTROL_PATIENCE, read(&mut stream)).await {
        Ok(Some(Request::Checkpoint(request))) => Wish::Checkpoint(request),
        Ok(Some(Request::Trial(request))) => Wish::Trial(request),
        Ok(Some(Request::Look(_))) => {
            // Whatever else is under way: it is not asked for.
            write_last(&mut stream, &Answer::Known(Box::new(known()))).await;
            return;
        }
        _ => return,
    };
    let (reply, mut answers) = mpsc::unbounded_channel();
    if tell.send(Asked { request, reply: Reply(reply) }).is_err() {
        return;
    }
    progress.mark_unchanged();
    loop {
        let answer = tokio::select! {
            biased;
            answer = answers.recv() => answer,
            changed = progress.changed() => changed.ok().map(|()| Answer::Progress(*progress.borrow_and_update())),
        };
        let Some(answer) = answer else { return };
        if !matches!(answer, Answer::Progress(_)) {
            return write_last(&mut stream, &answer).await;
        }
        if stream.write_all(&line(&answer)).await.is_err() {
            return;
        }
    }
}

fn line(answer: &Answer) -> Vec<u8> {
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Nothing more comes, so this returns at the end of the other side.
async fn write_last(stream: &mut UnixStream, answer: &Answer) {
    if stream.write_all(&line(answer)).await.is_ok() {
        let _ = stream.read(&mut [0]).await;
    }
}

async fn read(stream: &mut UnixStream) -> Option<Request> {
    let mut line = String::new();
    BufReader::new(stream.take(limits::REQUEST_MAX_BYTES)).read_line(&mut line).await.ok()?;
    serde_json::from_str(&line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_of_an_earlier_release_understands_what_it_can_do() {
        let asked = |stay_stopped| {
            serde_json::to_string(&CheckpointRequest { leave_running: false, stay_stopped }).unwrap()
        };
        assert_eq!(asked(false), r#"{"leaveRunning":false}"#);
        assert_eq!(asked(true), r#"{"leaveRunning":false,"stayStopped":true}"#);
    }
}
