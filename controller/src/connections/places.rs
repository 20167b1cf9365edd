//! Bounded places: what is held open for a client is counted, so that no number of clients can use up the process.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of places.
#[derive(Clone)]
pub struct Places {
    free: Arc<Semaphore>,
    size: usize,
}

/// A place, free again when this is dropped.
pub type Place = OwnedSemaphorePermit;

impl Places {
    /// One of so many places.
    pub fn new(size: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(size)), size }
    }

    /// A place, if one is free.
    pub fn enter(&self) -> Option<Place> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// A place, as soon as one is free.
    pub async fn wait(&self) -> Option<Place> {
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        self.size - self.free.available_permits()
    }

    /// How many places there are.
    pub fn size(&self) -> usize {
        self.size
    }
}

/// Keeps a place taken until the body has been sent or given up.
pub fn hold<Kept: Send + Unpin + 'static>(place: Kept, response: Response<Body>) -> Response<Body> {
    response.map(|body| Body::new(Held { body, _place: place }))
}

struct Held<Kept> {
    body: Body,
    _place: Kept,
}

impl<Kept: Unpin> HttpBody for Held<Kept> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_the_body_is_dropped() {
        let places = Places::new(1);
        let place = places.enter().unwrap();
        assert!(places.enter().is_none() && places.taken() == 1);
        let response = hold(place, Response::new(Body::empty()));
        assert!(places.enter().is_none());
        drop(response);
        assert_eq!(places.taken(), 0);
    }
}
