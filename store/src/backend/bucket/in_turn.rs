//! Answers that come one after the other.

use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use object_store::Error;
use tokio::time::timeout;

/// What is told in many answers, each of which may take so long.
pub fn in_turn<'a, T: Send + 'a>(
    limit: Duration,
    answers: BoxStream<'a, object_store::Result<T>>,
) -> BoxStream<'a, object_store::Result<T>> {
    let next = move |mut answers: BoxStream<'a, object_store::Result<T>>| async move {
        let silent = |_| Err(Error::Generic { store: "bucket", source: "it gave no answer".into() });
        let answer = timeout(limit, answers.next()).await.unwrap_or_else(|over| Some(silent(over)));
        answer.map(|answer| (answer, answers))
    };
    stream::unfold(answers, next).boxed()
}
