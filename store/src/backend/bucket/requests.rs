//! Asks a bucket, from threads that wait for the answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::stream::TryStreamExt as _;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, PutMode, UpdateVersion};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

use crate::backend::bucket::failure::Failure;
use crate::backend::bucket::in_turn::in_turn;
use crate::backend::bucket::removal::{Removal, remove};
use crate::base::limits;
use crate::base::nonce::number;
use crate::base::step_thread;
use crate::base::watchdog::moved;

/// A request that was made, whose answer may have come.
#[derive(Debug)]
pub struct Pending<T>(Receiver<Result<T, Failure>>);

impl<T> Pending<T> {
    /// Waits for the answer.
    ///
    /// # Errors
    /// It was not done, or it is not known whether it was.
    pub fn wait(self) -> Result<T, Failure> {
        let answer = self.0.recv().map_err(|_| Failure::lasting("the thread for the bucket has ended"))?;
        moved();
        answer
    }
}

/// A request that tells its answer itself.
type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The objects below a prefix of a bucket.
#[derive(Debug)]
pub struct Requests {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// How long a request may take, besides its bytes.
    limit: Duration,
    jobs: Sender<Job>,
    /// Whether it was tried, and found to do what is needed.
    is_tried: AtomicBool,
    removal: Removal,
}

impl Requests {
    /// For the objects of `store` below `prefix`.
    ///
    /// # Errors
    /// There is no thread for them, or this is called in a step.
    pub fn begin(store: Arc<dyn ObjectStore>, prefix: Path, limit: Duration) -> io::Result<Self> {
        if step_thread::is_step() {
            return Err(io::Error::other("the thread for a bucket cannot be begun in a step"));
        }
        let runtime = runtime()?;
        let (jobs, to_do) = channel();
        thread::Builder::new().name("crik-bucket".to_owned()).spawn(move || serve(runtime, &to_do))?;
        Ok(Self { store, prefix, limit, jobs, is_tried: AtomicBool::new(false), removal: Removal::default() })
    }

    /// Makes a trial, unless it went well before: who waits for another pod opens an image directory again and again.
    ///
    /// # Errors
    /// As of the trial.
    pub fn once_tried(&self, trial: impl FnOnce(&Self) -> Result<(), Failure>) -> Result<(), Failure> {
        if !self.is_tried.load(Ordering::Acquire) {
            trial(self)?;
            self.is_tried.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// For something that is tried for as long as one request may take.
    pub fn tries(&self) -> Tries {
        let pause = self.limit / limits::PAUSES_IN_A_REQUEST;
        Tries { began: Instant::now(), made: 1, pause, patience: self.limit }
    }

    /// The object of this name.
    pub fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// Makes a request once, which takes or gives `bytes`.
    ///
    /// # Errors
    /// It was not done, or it is not known whether it was.
    pub fn once<T, F>(
        &self,
        bytes: u64,
        request: impl FnOnce(Arc<dyn ObjectStore>) -> F,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        self.begin_job(timeout_at(self.limit(bytes), request(Arc::clone(&self.store)))).wait()
    }

    fn limit(&self, bytes: u64) -> Duration {
        self.limit + Duration::from_secs(bytes / limits::SLOWEST_BYTES_PER_SECOND)
    }

    fn begin_job<T: Send + 'static>(
        &self,
        job: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Pending<T> {
        let (tell, told) = channel();
        moved();
        // If nobody takes it, nobody tells.
        let _ = self.jobs.send(Box::pin(async move { drop(tell.send(job.await)) }));
        Pending(told)
    }

    /// Makes a request that may be made again, as long as its failure may pass.
    ///
    /// # Errors
    /// It fails for good.
    pub fn ask<T, F>(
        &self,
        bytes: u64,
        request: impl Fn(Arc<dyn ObjectStore>) -> F + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        self.start(bytes, request).wait()
    }

    /// The same, and does not wait for the answer.
    pub fn start<T, F>(
        &self,
        bytes: u64,
        request: impl Fn(Arc<dyn ObjectStore>) -> F + Send + 'static,
    ) -> Pending<T>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        self.start_within(self.limit(bytes), request)
    }

    fn start_within<T, F>(
        &self,
        limit: Duration,
        request: impl Fn(Arc<dyn ObjectStore>) -> F + Send + 'static,
    ) -> Pending<T>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let (store, patience) = (Arc::clone(&self.store), self.tries());
        self.begin_job(async move {
            let mut tries = patience;
            loop {
                let answer = timeout_at(limit, request(Arc::clone(&store))).await;
                match answer.as_ref().err().and_then(|failure| tries.next(failure)) {
                    Some(pause) => sleep(pause).await,
                    None => return answer,
                }
            }
        })
    }

    /// The contents of an object, or the first `most` bytes of them, unless it still is the one that is known as `seen`; and as what it is
    /// known.
    ///
    /// # Errors
    /// It cannot be read, is not there, or is still the same.
    pub fn read_if_changed(
        &self,
        name: &str,
        seen: Option<String>,
        most: u64,
    ) -> Result<(Vec<u8>, UpdateVersion), Failure> {
        let path = self.path(name);
        // It has far fewer, or is nothing that is waited for.
        self.ask(0, move |store| {
            let (path, range) = (path.clone(), Some(GetRange::Bounded(0..most)));
            let options = GetOptions { if_none_match: seen.clone(), range, ..GetOptions::default() };
            async move {
                let found = store.get_opts(&path, options).await?;
                let known_as =
                    UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
                Ok((found.bytes().await?.to_vec(), known_as))
            }
        })
    }

    /// Writes an object once, on a condition; and as what it is known.
    ///
    /// # Errors
    /// The condition is not met; or it is not known whether it was written.
    pub fn put(&self, path: Path, contents: Vec<u8>, mode: PutMode) -> Result<UpdateVersion, Failure> {
        self.once(contents.len() as u64, |store| async move {
            Ok(store.put_opts(&path, contents.into(), mode.into()).await?.into())
        })
    }

    /// The first name directly in the prefix that is none of `own`.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn first_but(&self, own: &[&str]) -> Result<Option<String>, Failure> {
        let prefix = self.prefix.clone();
        let found = self.ask(0, move |store| {
            let prefix = prefix.clone();
            async move { store.list_with_delimiter(Some(&prefix)).await }
        })?;
        // Who makes a folder by hand makes an object of its name.
        let objects = found.objects.into_iter().map(|meta| meta.location).filter(|path| *path != self.prefix);
        let names =
            objects.chain(found.common_prefixes).filter_map(|path| path.filename().map(str::to_owned));
        Ok(names.filter(|name| !own.contains(&name.as_str())).min())
    }

    /// All objects below `prefix`, with everything that is below them.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, Failure> {
        let (prefix, limit) = (self.path(prefix), self.limit);
        self.start_within(Duration::MAX, move |store| {
            let prefix = prefix.clone();
            async move { in_turn(limit, store.list(Some(&prefix))).try_collect().await }
        })
        .wait()
    }

    /// Removes objects. That they are not there any more is no error.
    ///
    /// # Errors
    /// One of them is left.
    pub fn remove(&self, paths: Vec<Path>) -> Result<(), Failure> {
        if paths.is_empty() {
            return Ok(());
        }
        let limit = self.limit;
        let removed =
            self.start_within(Duration::MAX, move |store| remove(store, paths.clone(), limit)).wait();
        self.removal.note(removed, &self.prefix)
    }

    /// The same of what is superfluous, and nothing depends on it: who looks at the log is told once if it is refused.
    ///
    /// # Errors
    /// One of them is left.
    pub fn remove_waste(&self, paths: Vec<Path>) -> Result<(), Failure> {
        let known = self.removal_refusal();
        let removed = self.remove(paths);
        if let Some(told) = self.removal_refusal().filter(|_| known.is_none()) {
            tracing::warn!("{told}");
        }
        removed
    }

    /// Why nothing can be removed, if the bucket was found not to let it be.
    pub fn removal_refusal(&self) -> Option<String> {
        self.removal.refusal()
    }
}

async fn timeout_at<T>(
    limit: Duration,
    request: impl Future<Output = object_store::Result<T>>,
) -> Result<T, Failure> {
    Ok(timeout(limit, request).await.map_err(|_| Failure::silent(limit))??)
}

/// Hands requests on to a runtime until there are no more to come. Neither is reached but by way of this thread: whoever wakes a runtime
/// writes to a descriptor of it, and steps have tables of descriptors of their own ([`step_thread::run`]). For the same reason neither
/// begins in a step: all runtimes of a process share the socket that tells of signals, which the first one makes (tokio's
/// `signal::registry`).
fn serve(runtime: Runtime, to_do: &Receiver<Job>) {
    while let Ok(job) = to_do.recv() {
        runtime.spawn(job);
    }
    runtime.shutdown_background();
}

/// With as few threads as can be, since each takes a process id, of which a restore needs some: one that waits for answers, and one that
/// asks for addresses.
fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).max_blocking_threads(1).enable_all().build()
}

/// How often the same is tried.
#[derive(Debug)]
pub struct Tries {
    began: Instant,
    made: u32,
    pause: Duration,
    patience: Duration,
}

impl Tries {
    /// Whether to try once more after this failure; waits before.
    pub fn again(&mut self, failure: &Failure) -> bool {
        self.next(failure).map(thread::sleep).is_some()
    }

    /// How long to wait before it is tried once more after this failure; none if it is not.
    fn next(&mut self, failure: &Failure) -> Option<Duration> {
        // A connection that was dead may have used up all the time: the next one is another.
        let is_over = self.made > 1 && self.began.elapsed() >= self.patience;
        if !failure.may_pass() || is_over || self.made >= limits::REQUEST_TRIES {
            return None;
        }
        let pause = self.pause;
        (self.made, self.pause) = (self.made + 1, pause * 2);
        Some(pause / 2 + pause.mul_f64(f64::from(number().unwrap_or(0) as u32) / f64::from(u32::MAX)))
    }
}
