//! A long answer, handed over in portions: hyper asks for the next one when the client has taken the last, so what is not
//! sent yet keeps its place, and can be given up.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response};
use axum::response::IntoResponse as _;
use hyper::body::{Frame, SizeHint};
use serde::Serialize;
use tokio::time::Instant;

use super::answer;
use crate::base::limits;
use crate::connections::Place;

/// Answers with a value in JSON, which keeps a place until all of it has been handed over.
pub fn json<Value: Serialize>(place: Place, value: &Value) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(text) => {
            let kind = HeaderValue::from_static("application/json");
            ([(CONTENT_TYPE, kind)], Body::new(Portions::new(text.into(), place))).into_response()
        }
        Err(error) => answer::broken(&error.to_string()),
    }
}

struct Portions {
    rest: Bytes,
    deadline: Instant,
    _place: Place,
}

impl Portions {
    fn new(rest: Bytes, place: Place) -> Self {
        Self { rest, deadline: Instant::now() + limits::SENDING, _place: place }
    }
}

impl HttpBody for Portions {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if Instant::now() > self.deadline {
            return Poll::Ready(Some(Err("the client reads too slowly")));
        }
        let length = self.rest.len().min(limits::PORTION);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::connections::Places;

    async fn next(body: &mut Portions) -> Option<Result<Bytes, &'static str>> {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        Some(frame.map(|frame| frame.into_data().unwrap()))
    }

    fn portions(places: &Places, length: usize) -> Portions {
        Portions::new(vec![1; length].into(), places.enter().unwrap())
    }

    #[tokio::test]
    async fn all_of_it_is_handed_over_and_its_length_is_known() {
        let (places, length) = (Places::new(1), 2 * limits::PORTION + 1);
        let mut body = portions(&places, length);
        assert_eq!(body.size_hint().exact(), Some(length as u64));
        let mut handed = Vec::new();
        while let Some(portion) = next(&mut body).await {
            handed.push(portion.unwrap().len());
            assert_eq!(places.taken(), 1);
        }
        assert_eq!(handed, [limits::PORTION, limits::PORTION, 1]);
        assert!(body.is_end_stream());
        drop(body);
        assert_eq!(places.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_handed_over_in_time_is_given_up() {
        let places = Places::new(1);
        let mut body = portions(&places, 2 * limits::PORTION);
        assert!(next(&mut body).await.unwrap().is_ok());
        tokio::time::advance(limits::SENDING * 2).await;
        assert!(next(&mut body).await.unwrap().is_err());
    }
}
