//! What stands before the router. What agents ask most, a node's status now, is answered here: what the router keeps for each request
//! costs several times as much as that answer.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Method, Request, Response};
use axum::routing::future::RouteFuture;
use axum::{BoxError, Router};
use futures_util::TryFutureExt as _;
use futures_util::future::{Either, MapOk};
use hyper::body::Incoming;
use hyper::service::Service;
use tower::Service as _;

use super::app::App;
use super::every_request::{Turn, refused};
use super::routes::node::{self, Sent};
use super::{name, router};
use crate::connections::Peer;

/// Answers what is asked on one connection.
pub struct Front {
    app: App,
    routes: Router,
    /// Who asks; none where there is no room.
    peer: Option<Peer>,
}

type Answer = Result<Response<Sent>, Infallible>;
/// In a box, since every answer would be moved with the room of it.
type Routed = Pin<Box<MapOk<RouteFuture<Infallible>, fn(Response<Body>) -> Response<Sent>>>>;

impl Front {
    /// What makes that of each connection.
    pub fn of_each(app: App) -> impl Fn(Option<Peer>) -> Self {
        let (all, full) = (router::all(app.clone()), router::full(app.clone()));
        move |peer| {
            let routes = if peer.is_some() { &all } else { &full };
            Self { app: app.clone(), routes: routes.clone(), peer }
        }
    }

    /// The answer that needs no router.
    fn at_once(&self, request: &Request<impl HttpBody>) -> Option<Response<Sent>> {
        self.peer.filter(|_| self.app.0.auth.is_none())?;
        let name = plainly_asked(request)?;
        let turn = Turn::begins(&self.app, Some(node::PATH));
        refused(request).is_none().then(|| turn.ends(node::now(&self.app, name)))
    }

    fn route<B>(&self, mut request: Request<B>) -> Routed
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        Box::pin(self.routes.clone().call(request).map_ok(|response| response.map(Sent::Right)))
    }
}

impl Service<Request<Incoming>> for Front {
    type Response = Response<Sent>;
    type Error = Infallible;
    type Future = Either<Ready<Answer>, Routed>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        match self.at_once(&request) {
            Some(answer) => Either::Left(ready(Ok(answer))),
            None => Either::Right(self.route(request)),
        }
    }
}

/// The node, if it is asked for without a further word. What is written in another way is the router's.
fn plainly_asked<B>(request: &Request<B>) -> Option<&str> {
    let uri = request.uri();
    let plain = request.method() == Method::GET && uri.query().is_none();
    uri.path().strip_prefix(node::ABOVE).filter(|name| plain && name::check("node", name).is_ok())
}
