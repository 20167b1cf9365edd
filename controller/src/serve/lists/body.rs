//! A text as the body of an answer, handed over in portions: hyper asks for the next one when the client has taken the last, so
//! what is not sent yet can be given up.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use super::{Text, Withdrawn};
use crate::base::limits;

/// The body.
pub struct Portions {
    text: Arc<Text>,
    next: usize,
    left: usize,
    deadline: Instant,
}

impl Portions {
    /// The whole text, which has to be taken within [`limits::SENDING`].
    pub fn new(text: Arc<Text>) -> Self {
        let (left, deadline) = (text.length(), Instant::now() + limits::SENDING);
        Self { text, next: 0, left, deadline }
    }
}

impl HttpBody for Portions {
    type Data = Bytes;
    type Error = Withdrawn;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Withdrawn>>> {
        let late = Instant::now() > self.deadline && self.left > 0;
        let piece = match self.text.piece(self.next) {
            Ok(piece) if !late => piece,
            _ => return Poll::Ready(Some(Err(Withdrawn))),
        };
        self.next += 1;
        self.left -= piece.as_ref().map_or(0, Bytes::len);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}
