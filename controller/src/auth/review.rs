//! One question to the API server: whose token is this?

use std::time::SystemTime;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::timeout;

use super::permission::{Identity, OwnPod};
use crate::base::limits;

/// Where the API server says on which node a pod runs whose token this is (KEP-4193).
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// The same of the pod itself (k8s.io/apiserver/pkg/authentication/serviceaccount, `PodNameKey` and `PodUIDKey`).
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// What the API server says of a token; an error says why it is not good.
pub type Verdict = Result<Identity, String>;

/// Asks the API server about a token, which says that it expires then; a good one tells the truth.
///
/// # Errors
/// It cannot be asked, and why.
pub async fn ask(
    client: Client,
    token: &str,
    audience: &str,
    expires: SystemTime,
) -> Result<Verdict, String> {
    let spec = TokenReviewSpec { token: token.to_owned(), audiences: Some(vec![audience.to_owned()]) };
    let review = TokenReview { spec, ..TokenReview::default() };
    let (api, parameters) = (Api::<TokenReview>::all(client), PostParams::default());
    let asked = timeout(limits::REVIEW_TIMEOUT, api.create(&parameters, &review)).await;
    let answer =
        asked.map_err(|_| format!("the API server has not answered within {:?}", limits::REVIEW_TIMEOUT))?;
    let status = answer.map_err(|error| explain(&error))?.status.unwrap_or_default();
    Ok(verdict(status, audience, expires))
}

fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            "the controller may not ask the API server; give its ServiceAccount the verb create on \
             tokenreviews.authentication.k8s.io"
                .to_owned()
        }
        kube::Error::Api(status) => format!("the API server says: {}", status.message),
        error => crate::base::causes::with_causes(error),
    }
}

/// An API server that does not know about audiences says that a token is good which was made for another one; then it
/// names none (documentation of TokenReviewStatus).
fn verdict(status: TokenReviewStatus, audience: &str, expires: SystemTime) -> Verdict {
    if status.authenticated != Some(true) {
        return Err(status
            .error
            .filter(|why| !why.is_empty())
            .unwrap_or("the API server does not know it".into()));
    }
    if !status.audiences.unwrap_or_default().iter().any(|given| given == audience) {
        return Err(format!("it was not made for the audience {audience:?}"));
    }
    let user = status.user.unwrap_or_default();
    let mut extra = user.extra.unwrap_or_default();
    let mut first = |key| extra.remove(key).and_then(|values: Vec<String>| values.into_iter().next());
    let (node, name, uid) = (first(NODE_NAME), first(POD_NAME), first(POD_UID));
    let user = user.username.unwrap_or_default();
    let pod = namespace(&user).zip(name.zip(uid));
    let pod = pod.map(|(namespace, (name, uid))| OwnPod { namespace: namespace.to_owned(), name, uid });
    Ok(Identity { user, node, pod, expires })
}

/// The namespace of a ServiceAccount, and so of the pods that have its tokens, from `system:serviceaccount:NAMESPACE:NAME`.
fn namespace(user: &str) -> Option<&str> {
    user.strip_prefix("system:serviceaccount:")?.split(':').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(audiences: &[&str]) -> TokenReviewStatus {
        let extra = serde_json::json!({NODE_NAME: ["a"], POD_NAME: ["job-0"], POD_UID: ["u1"]});
        let user = serde_json::json!({"username": "system:serviceaccount:ns:app", "extra": extra});
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(audiences.iter().map(|&audience| audience.to_owned()).collect()),
            user: serde_json::from_value(user).unwrap(),
            ..TokenReviewStatus::default()
        }
    }

    #[test]
    fn a_good_token_names_its_node_and_its_pod() {
        let expires = SystemTime::now();
        let identity = verdict(good(&["crik"]), "crik", expires).unwrap();
        assert_eq!(identity.node.as_deref(), Some("a"));
        let own = OwnPod { namespace: "ns".to_owned(), name: "job-0".to_owned(), uid: "u1".to_owned() };
        assert_eq!((identity.pod, identity.expires), (Some(own), expires));
    }

    #[test]
    fn who_is_no_service_account_is_no_pod() {
        let mut status = good(&["crik"]);
        status.user.as_mut().unwrap().username = Some("someone".to_owned());
        assert_eq!(verdict(status, "crik", SystemTime::now()).unwrap().pod, None);
    }

    #[test]
    fn an_api_server_that_ignores_audiences_is_not_believed() {
        assert!(verdict(good(&[]), "crik", SystemTime::now()).unwrap_err().contains("\"crik\""));
        assert!(verdict(good(&["other"]), "crik", SystemTime::now()).is_err());
    }

    #[test]
    fn what_is_not_said_to_be_good_is_bad() {
        assert!(verdict(TokenReviewStatus::default(), "crik", SystemTime::now()).is_err());
        let unsaid = TokenReviewStatus { authenticated: None, ..good(&["crik"]) };
        assert!(verdict(unsaid, "crik", SystemTime::now()).is_err());
    }
}
