//! A bucket that fails as tests want it.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::oneshot;

/// What is asked of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Put,
    Get,
    List,
    Delete,
}

/// What comes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is done.
    None,
    /// 500 or 503, and it is not done.
    Refused,
    /// 403, and it is not done.
    Forbidden,
    /// 412, for no reason.
    Conflict,
    /// It is done, and there is no answer but an error.
    Lost,
    /// It is done, and there is no answer.
    Silent,
    /// It is not done, and there is no answer.
    Hung,
}

/// Tells of each request what comes of it; may take its time.
pub type Plan = Arc<dyn Fn(Asked, &Path) -> Fault + Send + Sync>;

/// The bucket.
pub struct Faulty {
    inner: Arc<InMemory>,
    plan: Plan,
    /// Whether it takes no notice of conditions.
    careless: bool,
}

impl Faulty {
    pub fn new(inner: &Arc<InMemory>, plan: Plan) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), plan, careless: false })
    }

    /// One that writes in any case.
    pub fn careless() -> Arc<Self> {
        Arc::new(Self { inner: Arc::default(), plan: Arc::new(|_, _| Fault::None), careless: true })
    }

    async fn ask<T>(&self, asked: Asked, path: &Path, request: impl Future<Output = Result<T>>) -> Result<T> {
        // A plan may wait for other requests, and must not hold them up.
        let (plan, at, (tell, told)) = (Arc::clone(&self.plan), path.clone(), oneshot::channel());
        std::thread::spawn(move || tell.send(plan(asked, &at)));
        let fault = told.await.map_err(|_| failed("the plan has panicked"))?;
        if let ControlFlow::Break(error) = before(fault, path).await {
            return Err(error);
        }
        let answer = request.await;
        match fault {
            Fault::Lost => Err(failed("500 Internal Server Error")),
            Fault::Silent => std::future::pending().await,
            _ => answer,
        }
    }
}

async fn before(fault: Fault, path: &Path) -> ControlFlow<Error> {
    let path = path.to_string();
    match fault {
        Fault::Refused => ControlFlow::Break(failed("503 Slow Down")),
        Fault::Forbidden => {
            ControlFlow::Break(Error::PermissionDenied { path, source: "403 Forbidden".into() })
        }
        Fault::Conflict => ControlFlow::Break(Error::Precondition { path, source: "412".into() }),
        Fault::Hung => std::future::pending().await,
        Fault::None | Fault::Lost | Fault::Silent => ControlFlow::Continue(()),
    }
}

fn failed(told: &str) -> Error {
    Error::Generic { store: "Faulty", source: told.into() }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        if self.careless {
            options.mode = PutMode::Overwrite;
        }
        self.ask(Asked::Put, path, self.inner.put_opts(path, payload, options)).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(failed("nobody asks for this"))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.ask(Asked::Get, path, self.inner.get_opts(path, options)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, plan) = (Arc::clone(&self.inner), Arc::clone(&self.plan));
        let one = move |path: Result<Path>| {
            let faulty = Self { inner: Arc::clone(&inner), plan: Arc::clone(&plan), careless: false };
            async move {
                let path = path?;
                let removed = object_store::ObjectStoreExt::delete(&*faulty.inner, &path);
                faulty.ask(Asked::Delete, &path, removed).await?;
                Ok(path)
            }
        };
        paths.then(one).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, plan) = (Arc::clone(&self.inner), Arc::clone(&self.plan));
        let prefix = prefix.cloned().unwrap_or_default();
        let listed = async move {
            let faulty = Self { inner, plan, careless: false };
            let found = async { Ok(faulty.inner.list(Some(&prefix)).collect::<Vec<_>>().await) };
            faulty.ask(Asked::List, &prefix, found).await.unwrap_or_else(|error| vec![Err(error)])
        };
        futures_util::stream::once(listed).flat_map(futures_util::stream::iter).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let listed = self.inner.list_with_delimiter(prefix);
        self.ask(Asked::List, prefix.unwrap_or(&Path::default()), listed).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(failed("nobody asks for this"))
    }
}

/// A bucket in which all goes as planned.
pub fn place(store: Arc<dyn ObjectStore>) -> super::Place {
    let limit = Duration::from_millis(200);
    super::Place {
        store,
        prefix: "checkpoints/job-0".into(),
        told: "s3://bucket/checkpoints/job-0".into(),
        limit,
    }
}

/// How many objects there are for contents, and how many of them files have.
pub fn blobs(store: &Arc<InMemory>) -> (usize, usize) {
    let bucket = super::Bucket::look(place(store.clone()).connect().unwrap());
    let named = bucket.names().unwrap().blobs().len();
    (super::Blobs::list(&bucket.requests).unwrap().len(), named)
}
