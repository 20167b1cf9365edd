//! A controller whose way to the API server leads through a proxy, as the environment says.

use anyhow::{Result, ensure};
use crik_api::NodeState;
use crik_tests::connect_proxy::ConnectProxy;
use crik_tests::control_plane::ControlPlane;
use crik_tests::controller::{Controller, TestNode};

/// A name by which only the proxy finds it, and which is in its certificate.
const NAME: &str = "kubernetes.default.svc";

#[test]
fn the_proxy_of_the_environment_is_taken_but_for_what_is_left_out() -> Result<()> {
    let plane = ControlPlane::start()?;
    plane.create_node(&TestNode::ready("a"))?;
    let (account, server) = (plane.create_controllers_identity()?, format!("{NAME}:{}", plane.port()));
    let kubeconfig = plane.kubeconfig_of_at(account, &format!("https://{server}"))?;
    let proxy = ConnectProxy::start()?;
    let url = proxy.url();
    for variable in ["HTTPS_PROXY", "https_proxy"] {
        let variables = [("NO_PROXY", "10.0.0.0/8,.example.org"), (variable, &*url)];
        let controller = Controller::trying_to_watch_with(&kubeconfig, &variables)?;
        controller.becomes("a", NodeState::Ready)?;
    }
    let asked = proxy.asked();
    ensure!(asked.len() >= 2 && asked.iter().all(|target| *target == server), "{asked:?}");
    // Left out, it is looked for by its name, which nobody knows here.
    let left_out = [("HTTPS_PROXY", &*url), ("NO_PROXY", ".default.svc")];
    let controller = Controller::trying_to_watch_with(&kubeconfig, &left_out)?;
    controller.logs("the source of nodes is lost")?;
    ensure!(proxy.asked() == asked, "{:?}", proxy.asked());
    Ok(())
}
