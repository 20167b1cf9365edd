//! What a caller may have, decided from what the API server says of its token. Pure.

use std::time::SystemTime;

use axum::http::StatusCode;
use thiserror::Error;

/// Whom a good token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user, for example `system:serviceaccount:default:job`.
    pub user: String,
    /// The node of the pod that the token is bound to (KEP-4193), if it is bound to one.
    pub node: Option<String>,
    /// The pod that the token is bound to, if it is bound to one.
    pub pod: Option<OwnPod>,
    /// When the token expires.
    pub expires: SystemTime,
}

/// The pod that a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Tells it from others of its name.
    pub uid: String,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission<'a> {
    /// To read this node's state.
    Node(&'a str),
    /// To read who ends this pod.
    Pod {
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// To read the state of all nodes.
    AllNodes,
}

/// Why a caller does not get it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is no token.
    #[error(
        "no token; send Authorization: Bearer with a ServiceAccount token that is projected for the audience of crik-controller"
    )]
    Missing,
    /// There is something else.
    #[error("the Authorization header is not \"Bearer TOKEN\"")]
    NotBearer,
    /// The API server finds the token bad: expired, for another audience, of a pod that is gone, or no token.
    #[error("the token is not good: {0}")]
    Invalid(String),
    /// The token was good once.
    #[error("the token has expired; read the token file again, which the kubelet renews")]
    Expired,
    /// The pod runs elsewhere.
    #[error("this token belongs to a pod on the node {own:?}, which may not ask for {asked:?}")]
    OtherNode {
        /// Where the pod runs.
        own: String,
        /// What it asked for.
        asked: String,
    },
    /// The token is bound to no node.
    #[error(
        "the token of {user} names no node, so it may not ask for one; it must be projected into a pod by the \
             kubelet, on Kubernetes 1.32 or later (1.30 with the feature gate ServiceAccountTokenPodNodeInfo), or \
             its user allowed by --allow-all-nodes-for"
    )]
    NoNode {
        /// Whose token it is.
        user: String,
    },
    /// Nobody may ask for another pod.
    #[error("the token of {user} is not the one of the pod {asked}, so it may not ask for that")]
    OtherPod {
        /// Whose token it is.
        user: String,
        /// The pod that it asked for.
        asked: String,
    },
    /// Only chosen users may read all nodes.
    #[error("{user} may not read all nodes; allow it by --allow-all-nodes-for")]
    NotAllNodes {
        /// Whose token it is.
        user: String,
    },
    /// The API server cannot be asked.
    #[error("whose token this is cannot be found out now: {0}; ask again")]
    Unavailable(String),
}

impl Refusal {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Missing | Self::NotBearer | Self::Invalid(_) | Self::Expired => StatusCode::UNAUTHORIZED,
            Self::OtherNode { .. }
            | Self::NoNode { .. }
            | Self::OtherPod { .. }
            | Self::NotAllNodes { .. } => StatusCode::FORBIDDEN,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The challenge that belongs to a 401 (RFC 6750, section 3).
    pub fn challenge(&self) -> &'static str {
        match self {
            Self::Missing => "Bearer realm=\"crik\"",
            Self::NotBearer => "Bearer realm=\"crik\", error=\"invalid_request\"",
            _ => "Bearer realm=\"crik\", error=\"invalid_token\"",
        }
    }
}

impl Permission<'_> {
    /// Returns if this identity has it; `everywhere` says whether its user may read all nodes.
    ///
    /// # Errors
    /// Why not.
    pub fn given_to(self, identity: &Identity, everywhere: bool) -> Result<(), Refusal> {
        let user = || identity.user.clone();
        match (self, &identity.node) {
            (Self::Pod { namespace, name }, _) => {
                let own = identity.pod.as_ref();
                let is_own = own.is_some_and(|own| own.namespace == namespace && own.name == name);
                let asked = format!("{namespace}/{name}");
                if is_own { Ok(()) } else { Err(Refusal::OtherPod { user: user(), asked }) }
            }
            _ if everywhere => Ok(()),
            (Self::AllNodes, _) => Err(Refusal::NotAllNodes { user: user() }),
            (Self::Node(_), None) => Err(Refusal::NoNode { user: user() }),
            (Self::Node(asked), Some(own)) if asked == own => Ok(()),
            (Self::Node(asked), Some(own)) => {
                Err(Refusal::OtherNode { own: own.clone(), asked: asked.to_owned() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(node: Option<&str>) -> Identity {
        let pod = OwnPod { namespace: "ns".to_owned(), name: "job-0".to_owned(), uid: "u".to_owned() };
        let node = node.map(str::to_owned);
        let pod = node.is_some().then_some(pod);
        Identity { user: "someone".to_owned(), node, pod, expires: SystemTime::now() }
    }

    #[test]
    fn a_pod_may_ask_for_itself_only_and_nobody_else_may() {
        let asked = |namespace, name| Permission::Pod { namespace, name };
        let pod = identity(Some("a"));
        assert_eq!(asked("ns", "job-0").given_to(&pod, false), Ok(()));
        for other in [asked("ns", "job-1"), asked("other", "job-0")] {
            for everywhere in [false, true] {
                let refusal = other.given_to(&pod, everywhere).unwrap_err();
                assert_eq!(refusal.status(), StatusCode::FORBIDDEN, "{refusal}");
            }
        }
        assert!(asked("ns", "job-0").given_to(&identity(None), true).is_err());
    }

    #[test]
    fn a_pod_may_read_its_own_node_only() {
        let pod = identity(Some("a"));
        assert_eq!(Permission::Node("a").given_to(&pod, false), Ok(()));
        let refusal = Permission::Node("b").given_to(&pod, false).unwrap_err();
        assert_eq!(refusal, Refusal::OtherNode { own: "a".to_owned(), asked: "b".to_owned() });
        assert_eq!(refusal.status(), StatusCode::FORBIDDEN);
        assert!(Permission::AllNodes.given_to(&pod, false).is_err());
    }

    #[test]
    fn a_token_without_a_node_is_told_the_remedy() {
        let refusal = Permission::Node("a").given_to(&identity(None), false).unwrap_err();
        assert!(
            refusal.status() == StatusCode::FORBIDDEN && refusal.to_string().contains("1.32"),
            "{refusal}"
        );
    }

    #[test]
    fn who_is_allowed_may_read_everything() {
        for node in [None, Some("a")] {
            assert_eq!(Permission::Node("b").given_to(&identity(node), true), Ok(()));
            assert_eq!(Permission::AllNodes.given_to(&identity(node), true), Ok(()));
        }
    }
}
