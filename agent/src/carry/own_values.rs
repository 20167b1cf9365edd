//! What this pod has of its own: values that no two pods share, by which a command line is known although they are in it.

use std::env;

use crik_store::generation::identity::Identity;
use crik_store::generation::own_values::{Kind, OwnValues};
use crik_store::image_dir::pod::Pod;

use crate::carry::addresses;

/// The usual names of variables with the node's address (downward API, `status.hostIP`), which nothing else tells.
const NODE_IP_VARIABLES: [&str; 3] = ["HOST_IP", "NODE_IP", "KUBERNETES_NODE_IP"];

/// The values of `pod`, which is this one: its addresses, name and uid, and its node's name and address.
pub fn of(pod: &Pod) -> OwnValues {
    // Without them an argument with the address is another one, as it was before they were known.
    let addresses = addresses::own().unwrap_or_default().into_iter().map(|address| {
        let kind = if address.ip.is_ipv4() { Kind::Ipv4 } else { Kind::Ipv6 };
        (kind, address.ip.to_string())
    });
    let names = [
        (Kind::Host, Some(pod.host.clone())),
        (Kind::Node, pod.node.clone()),
        (Kind::Uid, pod.uid().map(str::to_owned)),
    ];
    let names = names.into_iter().filter_map(|(kind, value)| Some((kind, value?)));
    let node_ips = NODE_IP_VARIABLES.iter().filter_map(|name| Some((Kind::NodeIp, env::var(name).ok()?)));
    OwnValues::new(addresses.chain(names).chain(node_ips))
}

/// Says that a program which is resumed keeps the values of its old pod in its command line.
pub fn tell_kept(then: &Identity, here: &Identity) {
    if then.argv != here.argv {
        tracing::warn!(
            "this pod has another address or name in its command line; the program keeps that of its old pod: {:?}",
            then.argv
        );
    }
}
