//! What went wrong with a watch, in words of what to do.

use kube::core::Status;
use kube::runtime::watcher;

use crate::base::causes::with_causes;

/// One line for the log about a watch of these, such as `nodes`.
pub fn explain(what: &str, error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) => refused("list", what, status),
        watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => refused("watch", what, status),
        other => with_causes(other),
    }
}

/// The same of a single request.
pub fn refusal(verb: &str, what: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => refused(verb, what, status),
        other => with_causes(other),
    }
}

fn refused(verb: &str, what: &str, status: &Status) -> String {
    let message = &status.message;
    match status.code {
        401 => format!(
            "the API server does not know who asks to {verb} {what} ({message}); is the ServiceAccount's token mounted and \
             not expired?"
        ),
        403 => format!(
            "not allowed to {verb} {what} ({message}); bind a ClusterRole with the verbs list and watch on {what} to \
             this ServiceAccount, as deploy/controller.yaml does"
        ),
        410 => format!("changes were missed, so all {what} are listed again ({message})"),
        code => format!("the API server refuses to {verb} {what}: {code} {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16) -> Box<Status> {
        let message = "the server's words".to_owned();
        Box::new(Status { code, message, ..Status::failure("", "") })
    }

    #[test]
    fn what_is_not_allowed_is_named_with_its_remedy() {
        let list = explain("nodes", &watcher::Error::InitialListFailed(kube::Error::Api(api(403))));
        let watch = explain("nodes", &watcher::Error::WatchStartFailed(kube::Error::Api(api(403))));
        assert!(list.contains("not allowed to list nodes (the server's words)"), "{list}");
        assert!(watch.contains("not allowed to watch nodes"), "{watch}");
        assert!(list.contains("ClusterRole with the verbs list and watch on nodes"), "{list}");
    }

    #[test]
    fn other_refusals_keep_the_servers_words() {
        for (code, expected) in
            [(401, "does not know who asks"), (410, "missed"), (500, "500 the server's words")]
        {
            let text = explain("nodes", &watcher::Error::WatchError(api(code)));
            assert!(text.contains(expected) && text.contains("the server's words"), "{text}");
        }
    }
}
