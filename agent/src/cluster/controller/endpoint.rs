//! Where the controller is, and what it is asked.

use std::time::Duration;

use crik_api::Protection;
use tokio::sync::watch;
use url::{Host, Url};

use crate::cluster::controller::moves::Moves;
use crate::cluster::controller::unknown::Unknown;
use crate::config::{Access, parse_url};

/// One controller, of any number of replicas, and the node that it is asked about.
#[derive(Debug)]
pub struct Endpoint {
    /// The node.
    pub node: String,
    /// How to get there.
    pub access: Access,
    /// What is said of the program, once that is known.
    pub protection: watch::Sender<Option<Protection>>,
    /// The moves of the pod that were heard of.
    pub moves: Moves,
    /// The pod's namespace and name, if they are known.
    pub pod: Option<(String, String)>,
    url: Url,
}

impl Endpoint {
    /// For questions about `node`, which a pod of this namespace and name asks.
    ///
    /// # Errors
    /// The URL cannot be used, or there is no node to ask about.
    pub fn new(access: Access, node: Option<&str>, pod: Option<(String, String)>) -> Result<Self, Unknown> {
        let node = node.filter(|node| !node.is_empty()).ok_or(Unknown::NoNodeName)?.to_owned();
        let url = parse_url(&access.url).map_err(Unknown::Url)?;
        Ok(Self { node, access, protection: watch::Sender::new(None), moves: Moves::default(), pod, url })
    }

    fn route(&self, segments: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1").extend(segments);
        }
        url
    }

    /// Whether it is to prove who it is.
    pub fn is_secure(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The name or address to connect to, without the brackets of an IPv6 address, and the port.
    pub fn host_and_port(&self) -> (String, u16) {
        let host = match self.url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => String::new(),
        };
        (host, self.url.port_or_known_default().unwrap_or(crik_api::DEFAULT_PORT))
    }

    /// The value of the header Host.
    pub fn authority(&self) -> &str {
        self.url.authority()
    }

    /// What to ask: for the status now, or for its first change after a version if that comes within a wait.
    pub fn question(&self, after: Option<(&str, Duration)>) -> String {
        let mut url = self.route(&["nodes", &self.node]);
        if let Some((version, wait)) = after {
            let wait = format!("{}ms", wait.as_millis());
            url.query_pairs_mut().append_pair("wait", &wait).append_pair("since", version);
        }
        url[url::Position::BeforePath..].to_owned()
    }

    /// What to ask for who ends a pod.
    pub fn pod_question(&self, namespace: &str, name: &str) -> String {
        self.route(&["pods", namespace, name])[url::Position::BeforePath..].to_owned()
    }

    /// Where reports of the pod go; none if it has no name.
    pub fn reports_route(&self) -> Option<String> {
        let (namespace, name) = self.pod.as_ref()?;
        let route = self.route(&["pods", namespace, name, "reports"]);
        Some(route[url::Position::BeforePath..].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str, node: Option<&str>) -> Result<Endpoint, Unknown> {
        Endpoint::new(Access { url: url.to_owned(), ..Access::default() }, node, None)
    }

    #[test]
    fn the_url_may_end_in_a_slash_and_names_are_escaped() {
        for base in ["http://crik:9376", "http://crik:9376/"] {
            let endpoint = endpoint(base, Some("node/a")).unwrap();
            assert_eq!(endpoint.question(None), "/v1/nodes/node%2Fa");
            assert_eq!(
                endpoint.question(Some(("a&b", Duration::from_secs(2)))),
                "/v1/nodes/node%2Fa?wait=2000ms&since=a%26b"
            );
            assert_eq!(
                (endpoint.host_and_port(), endpoint.authority()),
                (("crik".to_owned(), 9376), "crik:9376")
            );
        }
        assert!(matches!(endpoint("http://crik", None), Err(Unknown::NoNodeName)));
    }

    #[test]
    fn hosts_and_ports_are_those_of_the_url() {
        for (url, host, port) in [
            ("https://[fd00::1]:9376/base", "fd00::1", 9376),
            ("https://crik.example", "crik.example", 443),
            ("http://10.0.0.1", "10.0.0.1", 80),
        ] {
            assert_eq!(endpoint(url, Some("a")).unwrap().host_and_port(), (host.to_owned(), port), "{url}");
        }
        let below = endpoint("http://h/base/", Some("a")).unwrap();
        assert_eq!(below.question(None), "/base/v1/nodes/a");
        assert_eq!(below.pod_question("ns", "job/0"), "/base/v1/pods/ns/job%2F0");
    }
}
