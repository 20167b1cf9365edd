//! Ends a connection whose client takes what it is sent too slowly. A client that reads nothing is the kernel's matter
//! (TCP_USER_TIMEOUT); this is for one that reads a little now and then.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::base::limits::SMALL_WRITE_BYTES as SMALL;

/// A stream on which all that is written before a flush has to be gone within a time. hyper flushes when it has written all
/// that it holds.
pub struct WriteTimeout<Stream> {
    stream: Stream,
    most: Duration,
    /// While something waits to be taken; most connections never have it.
    overdue: Option<Pin<Box<Sleep>>>,
}

impl<Stream> WriteTimeout<Stream> {
    /// A stream on which that may take so long.
    pub fn new(stream: Stream, most: Duration) -> Self {
        Self { stream, most, overdue: None }
    }

    /// An error once what waits has waited too long.
    fn check(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let most = self.most;
        let overdue = self.overdue.get_or_insert_with(|| Box::pin(sleep(most)));
        ready!(overdue.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly")))
    }
}

impl<Stream: AsyncWrite + Unpin> WriteTimeout<Stream> {
    fn written(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
        wanted: usize,
    ) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Pending => self.check(context),
            // From here on the rest waits.
            Poll::Ready(Ok(written)) if written < wanted || self.overdue.is_some() => {
                match self.check(context) {
                    Poll::Ready(late) => Poll::Ready(late),
                    Poll::Pending => Poll::Ready(Ok(written)),
                }
            }
            done => done,
        }
    }
}

impl<Stream: AsyncRead + Unpin> AsyncRead for WriteTimeout<Stream> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<Stream: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<Stream> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, outcome, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut room = [0; SMALL];
        let outcome = match in_one_piece(slices, &mut room) {
            Some(piece) => Pin::new(&mut self.stream).poll_write(context, piece),
            None => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        };
        self.written(context, outcome, slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Pending => self.check(context).map_ok(drop),
            done => {
                self.overdue = None;
                done
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What is small, if it has room: the kernel takes one piece sooner than two, and a node's status is a head and a short body.
fn in_one_piece<'a>(slices: &[io::IoSlice<'_>], room: &'a mut [u8; SMALL]) -> Option<&'a [u8]> {
    let mut end = 0;
    for slice in slices {
        room.get_mut(end..end + slice.len())?.copy_from_slice(slice);
        end += slice.len();
    }
    room.get(..end)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    const MOST: Duration = Duration::from_secs(30);

    /// Reads ten bytes a second.
    async fn trickle(mut reader: impl AsyncRead + Unpin) {
        while reader.read(&mut [0; 10]).await.is_ok_and(|read| read > 0) {
            sleep(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_little_by_little_is_given_up() {
        let (reader, writer) = duplex(16);
        tokio::spawn(trickle(reader));
        let began = Instant::now();
        let error = WriteTimeout::new(writer, MOST).write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((MOST..MOST * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_is_written_in_parts_comes_in_order_whatever_its_size() {
        for sizes in [[0, 0, 0], [130, 0, 84], [SMALL - 2, 1, 1], [SMALL, 0, 1], [1, 4 * SMALL, 7]] {
            let parts: Vec<Vec<u8>> = (1..).zip(sizes).map(|(byte, size)| vec![byte; size]).collect();
            let (mut reader, writer) = duplex(8 * SMALL);
            let mut stream = WriteTimeout::new(writer, MOST);
            let mut slices: Vec<_> = parts.iter().map(|part| io::IoSlice::new(part)).collect();
            let mut rest = &mut slices[..];
            while rest.iter().any(|slice| !slice.is_empty()) {
                let written = stream.write_vectored(rest).await.unwrap();
                io::IoSlice::advance_slices(&mut rest, written);
            }
            drop(stream);
            let mut read = Vec::new();
            reader.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, parts.concat(), "{sizes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_reads_nothing_is_given_up() {
        let (_reader, writer) = duplex(16);
        let error = WriteTimeout::new(writer, MOST).write_all(&[0; 17]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn each_that_is_flushed_has_the_time_of_its_own() {
        let (reader, writer) = duplex(16);
        tokio::spawn(trickle(reader));
        let (mut stream, began) = (WriteTimeout::new(writer, MOST), Instant::now());
        for _ in 0..10 {
            stream.write_all(&[0; 100]).await.unwrap();
            stream.flush().await.unwrap();
        }
        assert!(began.elapsed() > MOST, "{:?}", began.elapsed());
    }
}
