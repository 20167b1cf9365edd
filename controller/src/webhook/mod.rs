//! The admission webhook: the API server asks on a TLS port of its own what is to become of a pod that is created, for which nothing is
//! changed here, so that a dry run is asked like any other; and whether one may be evicted. May import `index`, `connections`,
//! `workloads`, `inject`, `evict`, `registry`, `tls` and `base`.

mod claims;
mod evictions;
mod images;
mod namespaces;
mod options;
mod own;
mod review;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::routing::post;
use hyper_util::service::TowerToHyperService;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use self::claims::Claims;
pub use self::evictions::Evicted;
use self::evictions::{Evictions, evict_pod};
use self::images::Images;
use self::namespaces::Namespaces;
pub use self::options::Options;
use self::own::Keeper;
use self::review::Reviews;
use crate::base::limits;
use crate::base::outcomes::Outcomes;
use crate::connections::{Peers, Places, Server, listen};
use crate::inject::Settings;
use crate::tls::Tls;

/// Answers the API server.
pub struct Webhook {
    listener: TcpListener,
    reviews: Arc<Reviews>,
    evictions: Option<Arc<Evictions>>,
    certificate: Certificate,
}

/// Where the certificate is from.
enum Certificate {
    Files(Tls),
    Own(Box<Keeper>),
}

impl Webhook {
    /// One that listens already, if there is to be one. What comes of new pods is counted in `outcomes`; evictions are answered by what
    /// `evicted` has.
    ///
    /// # Errors
    /// A file cannot be used, or the address cannot be had.
    pub fn new(
        options: &Options,
        client: Client,
        outcomes: Outcomes,
        evicted: Option<Evicted>,
    ) -> Result<Option<Self>> {
        let Some(address) = options.webhook_listen else { return Ok(None) };
        let file = options.inject_file.as_deref().context("--webhook-listen needs --inject-file")?;
        let settings = Settings::read(file)?;
        let certificate = certificate(options, client.clone())?;
        let path = certificate.eviction_path();
        let evictions =
            evicted.map(|of| Arc::new(Evictions::new(of, options.limits.clone(), client.clone(), path)));
        let listener = listen(address).with_context(|| {
            format!("cannot listen on {address}; is another program there? see --webhook-listen")
        })?;
        tracing::info!(address = %listener.local_addr()?, "the API server is answered");
        let places = Semaphore::new(limits::PODS_READ_AT_ONCE);
        let images = Images::new(&settings, client.clone()).context("--inject-file cannot be used")?;
        let (namespaces, claims) = (Namespaces::new(client.clone()), Claims::new(client));
        let reviews = Reviews { settings, namespaces, images, claims, outcomes, places };
        Ok(Some(Self { listener, reviews: Arc::new(reviews), evictions, certificate }))
    }

    /// Answers until `over` becomes true and all connections have ended.
    pub async fn serve(self, mut over: watch::Receiver<bool>) {
        let tls = tokio::select! {
            tls = self.certificate.tls() => tls,
            () = turn_away(&self.listener) => return,
            _ = over.wait_for(|over| *over) => return,
        };
        let mut routes = Router::new().route("/inject", post(review::inject_pod)).with_state(self.reviews);
        if let Some(evictions) = self.evictions {
            let evict =
                Router::new().route("/evict", post(evict_pod)).route("/evict/{word}", post(evict_pod));
            routes = routes.merge(evict.with_state(evictions));
        }
        let server = Server {
            places: Places::new(limits::API_SERVER_CONNECTIONS),
            peers: Peers::new(limits::API_SERVER_CONNECTIONS / 2),
            serve: move |_| TowerToHyperService::new(routes.clone()),
            tls: Some(tls),
            head_timeout: limits::API_SERVER_IDLE,
            failed_handshakes: Outcomes::default(),
        };
        server.run(self.listener, over).await;
    }
}

/// Closes each connection at once, for ever. While there is no certificate whoever creates a pod would otherwise wait for as long as the API
/// server does; and the rest of this program serves agents, so that its readiness does not depend on the webhook's.
async fn turn_away(listener: &TcpListener) {
    loop {
        if listener.accept().await.is_err() {
            sleep(limits::ACCEPT_RETRY).await;
        }
    }
}

/// # Errors
/// None is given, or its files cannot be used.
fn certificate(options: &Options, client: Client) -> Result<Certificate> {
    if let Some(files) = options.files() {
        return Ok(Certificate::Files(Tls::start(files)?));
    }
    let place =
        options.place().context("--webhook-listen needs --webhook-tls-cert-file or --webhook-secret")?;
    let (names, life) = (options.webhook_names.clone(), options.webhook_certificate_life);
    Ok(Certificate::Own(Box::new(Keeper::new(client, place, names, life))))
}

impl Certificate {
    /// Where evictions may be asked about. What is kept in files has no word that the API server could be told.
    fn eviction_path(&self) -> watch::Receiver<String> {
        match self {
            Self::Files(_) => watch::channel("/evict".to_owned()).1,
            Self::Own(keeper) => keeper.eviction_path(),
        }
    }

    /// What connections are accepted with, as soon as there is a certificate.
    async fn tls(self) -> Tls {
        match self {
            Self::Files(tls) => tls,
            Self::Own(keeper) => keeper.start().await,
        }
    }
}
