//! The proxy on the way to the API server, as other clients of Kubernetes find theirs: that of the kubeconfig; else that of
//! `HTTPS_PROXY`, unless `NO_PROXY` has the API server. kube looks for the proxy's own name in `NO_PROXY`, so its choice is made anew.

use std::net::IpAddr;

use axum::http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// The proxy to `server`. `found` is what kube has found in the kubeconfig or in the environment.
pub fn to(server: &Uri, found: Option<Uri>, variable: impl Fn(&str) -> Option<String>) -> Option<Uri> {
    let read = |names: [&str; 2]| names.into_iter().filter_map(&variable).find(|value| !value.is_empty());
    let https = read(["HTTPS_PROXY", "https_proxy"]);
    if found.is_some() && found != https.as_ref().and_then(|value| value.parse().ok()) {
        return found;
    }
    let left_out = read(["NO_PROXY", "no_proxy"]).unwrap_or_default();
    let all_are = left_out.split(',').any(|entry| entry.trim() == "*");
    if all_are || server.host().is_none_or(is_this_machine) {
        return None;
    }
    let matcher = Matcher::builder()
        .https(https.unwrap_or_default())
        .http(read(["HTTP_PROXY", "http_proxy"]).unwrap_or_default())
        .no(left_out);
    let chosen = matcher.build().intercept(server)?;
    // What was found has the proxy's user and password too.
    found.or_else(|| Some(chosen.uri().clone()))
}

/// Which no client reaches by a proxy (golang.org/x/net/http/httpproxy).
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "http://user:secret@proxy.example:3128";

    fn chosen(server: &str, kubeconfig: Option<&str>, environment: &[(&str, &str)]) -> Option<String> {
        let value =
            |name: &str| environment.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        let found = kubeconfig.map(str::to_owned).or_else(|| value("HTTPS_PROXY"));
        let found = found.map(|uri| uri.parse().unwrap());
        to(&server.parse().unwrap(), found, value).map(|uri| uri.to_string().trim_end_matches('/').to_owned())
    }

    #[test]
    fn the_proxy_of_the_environment_is_taken_unless_the_server_is_left_out() {
        let server = "https://10.96.0.1:443";
        assert_eq!(chosen(server, None, &[("HTTPS_PROXY", PROXY)]).as_deref(), Some(PROXY));
        for left_out in ["10.96.0.1", "10.0.0.0/8", "a.example,10.96.0.0/12", "*"] {
            assert_eq!(
                chosen(server, None, &[("HTTPS_PROXY", PROXY), ("NO_PROXY", left_out)]),
                None,
                "{left_out}"
            );
        }
        let others = [("HTTPS_PROXY", PROXY), ("NO_PROXY", "proxy.example,192.168.0.0/16,cluster.local")];
        assert_eq!(chosen(server, None, &others).as_deref(), Some(PROXY));
        assert_eq!(chosen(server, None, &[("NO_PROXY", "example")]), None);
        let named = [("HTTPS_PROXY", PROXY), ("NO_PROXY", ".example.org")];
        assert_eq!(chosen("https://api.example.org:6443", None, &named), None);
    }

    #[test]
    fn this_machine_is_never_reached_by_one() {
        for server in ["https://127.0.0.1:6443", "https://localhost:6443", "https://[::1]:6443"] {
            assert_eq!(chosen(server, None, &[("HTTPS_PROXY", PROXY)]), None, "{server}");
        }
    }

    #[test]
    fn the_kubeconfigs_own_counts_more() {
        let environment = [("HTTPS_PROXY", PROXY), ("NO_PROXY", "10.0.0.0/8")];
        let own = chosen("https://10.96.0.1:443", Some("http://own.example:8080"), &environment);
        assert_eq!(own.as_deref(), Some("http://own.example:8080"));
    }
}
