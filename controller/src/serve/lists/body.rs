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

/// What there is to send.
pub trait Parts: Unpin {
    /// How many bytes in all.
    fn length(&self) -> usize;

    /// The next of them; none behind the last.
    ///
    /// # Errors
    /// The text was withdrawn.
    fn next(&mut self) -> Result<Option<Bytes>, Withdrawn>;
}

/// The body.
pub struct Portions<Of> {
    parts: Of,
    left: usize,
    deadline: Instant,
}

impl<Of: Parts> Portions<Of> {
    /// All of it, which has to be taken within [`limits::SENDING`].
    pub fn new(parts: Of) -> Self {
        let (left, deadline) = (parts.length(), Instant::now() + limits::SENDING);
        Self { parts, left, deadline }
    }
}

impl<Of: Parts> HttpBody for Portions<Of> {
    type Data = Bytes;
    type Error = Withdrawn;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Withdrawn>>> {
        let late = Instant::now() > self.deadline && self.left > 0;
        let piece = match self.parts.next() {
            Ok(piece) if !late => piece,
            _ => return Poll::Ready(Some(Err(Withdrawn))),
        };
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

/// A whole text, whose pieces all readers share.
pub struct Whole {
    text: Arc<Text>,
    /// The length in gzip, if it is to be that.
    zipped: Option<usize>,
    next: usize,
}

impl Whole {
    /// As it is written.
    pub fn plain(text: Arc<Text>) -> Self {
        Self { text, zipped: None, next: 0 }
    }

    /// In gzip. None if it is not there in gzip, or not any more.
    pub fn zipped(text: Arc<Text>) -> Option<Self> {
        let (_, length) = text.written().ok()?.zipped()?;
        Some(Self { text, zipped: Some(length), next: 0 })
    }
}

impl Parts for Whole {
    fn length(&self) -> usize {
        self.zipped.unwrap_or(self.text.length())
    }

    fn next(&mut self) -> Result<Option<Bytes>, Withdrawn> {
        let written = self.text.written()?;
        let pieces = if self.zipped.is_some() { written.zipped().map(|(pieces, _)| pieces) } else { None };
        self.next += 1;
        Ok(pieces.unwrap_or(&written.plain).get(self.next - 1).cloned())
    }
}
