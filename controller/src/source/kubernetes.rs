//! The API server.

use std::error::Error;
use std::iter::successors;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Node as Object;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc::Sender;

use crate::event::Event;
use crate::node::Node;

/// Watches all nodes until nobody listens.
pub async fn run(client: Client, events: Sender<Event>) {
    let stream = watcher(Api::<Object>::all(client), watcher::Config::default()).default_backoff();
    forward(std::pin::pin!(stream), events).await;
}

/// A list comes in pieces, and only the whole of it says which nodes are gone.
async fn forward(
    mut stream: impl Stream<Item = Result<watcher::Event<Object>, watcher::Error>> + Unpin,
    events: Sender<Event>,
) {
    let mut listing = Vec::new();
    while let Some(event) = stream.next().await {
        let event = match event {
            Ok(watcher::Event::Init) => {
                listing.clear();
                continue;
            }
            Ok(watcher::Event::InitApply(object)) => {
                listing.push(Node::from(object));
                continue;
            }
            Ok(watcher::Event::InitDone) => Event::Listed(std::mem::take(&mut listing)),
            Ok(watcher::Event::Apply(object)) => Event::Applied(Node::from(object)),
            Ok(watcher::Event::Delete(object)) => Event::Deleted(object.metadata.name.unwrap_or_default()),
            Err(error) => Event::Lost(with_causes(&error)),
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// The error with what caused it, since the outermost says only that a list failed. Some repeat their cause.
fn with_causes(error: &dyn Error) -> String {
    let causes = successors(error.source(), |&cause| cause.source()).map(ToString::to_string);
    causes.fold(
        error.to_string(),
        |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_list_is_passed_on_as_a_whole() {
        let named = |name: &str| {
            let mut object = Object::default();
            object.metadata.name = Some(name.to_owned());
            object
        };
        let told = [
            Ok(watcher::Event::Init),
            Ok(watcher::Event::InitApply(named("a"))),
            Ok(watcher::Event::Init),
            Ok(watcher::Event::InitApply(named("b"))),
            Ok(watcher::Event::InitDone),
            Ok(watcher::Event::Delete(named("b"))),
        ];
        let (sender, mut events) = tokio::sync::mpsc::channel(8);
        forward(futures_util::stream::iter(told), sender).await;
        let Some(Event::Listed(nodes)) = events.recv().await else { panic!("no list") };
        assert_eq!(nodes.len(), 1);
        assert_eq!(events.recv().await, Some(Event::Deleted("b".to_owned())));
    }
}
