//! A stop of a program whose memory was stored at the first sign that its node may go away, and of which a tenth has changed since.

use anyhow::Result;
use crik_api::NodeState;
use crik_tests::controller::{Controller, TestNode};
use crik_tests::network::Network;

use crate::contender::Contender;
use crate::cycle::Cycle;
use crate::load::Load;
use crate::place::Place;
use crate::table::{Aim, Table};

/// Measures it, and tells.
///
/// # Errors
/// None: what goes wrong is told.
pub fn measure(megabytes: u32, table: &mut Table) -> Result<()> {
    let what = "arrays, at 150 MB/s: stop, warmed up, a tenth changed";
    match criu(megabytes).and_then(|criu| Ok((criu, crik(megabytes)?))) {
        Ok((criu, crik)) => table.row(megabytes, what, Some(criu), crik, Aim::None),
        Err(error) => table.fail(megabytes, what, &error),
    }
    Ok(())
}

fn criu(megabytes: u32) -> Result<f64> {
    let place = Place::slow(megabytes)?;
    let cycle = Cycle::new(Contender::Criu, &place, Load::Arrays, megabytes)?;
    Ok(cycle.stop(cycle.begin()?)?.ms)
}

fn crik(megabytes: u32) -> Result<f64> {
    let (place, network) = (Place::slow(megabytes)?, Network::new()?);
    let controller = Controller::start(&[TestNode::ready("node-a")])?;
    let cycle = Cycle::new(Contender::Crik("chunks"), &place, Load::Arrays, megabytes)?;
    let url = format!("nodeStateServerURL: http://{}:{}", network.host(), controller.port());
    let cycle = cycle.with(|pod| pod.config(&url).network(&network).same_node_name());
    let running = cycle.begin()?;
    controller.set_nodes(&[TestNode::ready("node-a").cordoned()])?;
    controller.becomes("node-a", NodeState::Cordoned)?;
    running.stderr.wait_for(" of memory are stored beforehand")?;
    cycle.change(&running)?;
    Ok(cycle.stop(running)?.ms)
}
