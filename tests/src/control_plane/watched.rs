//! A control plane that a controller watches over a wire, so that each part between them can be taken away.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crik_api::NodeState;

use super::ControlPlane;
use crate::controller::{Controller, TestNode};
use crate::http::get;
use crate::wait::wait_for;
use crate::wire::Wire;

/// How long it may go unnoticed that what the controller knows is old.
pub const NOTICED_WITHIN: Duration = Duration::from_secs(30);

/// A control plane with the ready node `a`, and a controller with the rights that its manifest gives.
pub struct Watched {
    /// The controller.
    pub controller: Controller,
    /// Between it and the API server.
    pub wire: Wire,
    /// What it watches.
    pub plane: ControlPlane,
}

impl Watched {
    /// Starts both, and waits until the node is ready.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn new() -> Result<Self> {
        let plane = ControlPlane::start()?;
        plane.create_node(&TestNode::ready("a"))?;
        let wire = Wire::to(plane.port())?;
        let account = plane.create_controllers_identity()?;
        let kubeconfig = plane.kubeconfig_of_at(account, &format!("https://{}", wire.address()))?;
        let controller = Controller::watching(&kubeconfig, &[])?;
        controller.becomes("a", NodeState::Ready)?;
        Ok(Self { controller, wire, plane })
    }

    /// Waits until the state is stale.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn is_stale(&self) -> Result<()> {
        wait_for("the state to be stale", || self.controller.status("a").is_ok_and(|a| a.stale).then_some(()))
    }

    /// Waits until a node has a state that is not stale.
    ///
    /// # Errors
    /// It does not come to that; the message has the controller's log.
    pub fn is_fresh(&self, name: &str, state: NodeState) -> Result<()> {
        wait_for(&format!("{name} to be {state}, and not stale"), || {
            let status = self.controller.status(name).ok()?;
            (status.state == state && !status.stale).then_some(())
        })
        .with_context(|| self.controller.log())
    }

    /// Whatever happens to its source, the controller goes on serving.
    ///
    /// # Errors
    /// It does not.
    pub fn still_ready(&self) -> Result<()> {
        ensure!(get(&self.controller.url("/readyz"))?.status == 200, "not ready");
        Ok(())
    }
}
