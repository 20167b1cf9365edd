//! A release of an earlier chart is upgraded to this one.

use anyhow::{Result, ensure};
use crik_tests::chart::template::released_chart;
use crik_tests::control_plane::ControlPlane;

use crate::{ALL, PLANE, apply, apply_chart};

/// What is said of a Service that has an address.
const ADVICE: &str = "keeps the address that an earlier release has given it";

#[test]
fn a_release_of_0_1_0_is_upgraded_and_its_service_keeps_its_address_until_it_is_deleted() -> Result<()> {
    let plane = PLANE.get(ControlPlane::start)?;
    let service = "/api/v1/namespaces/earlier/services/crik-controller";
    let address = || Ok::<_, anyhow::Error>(plane.api().get(service)?["spec"]["clusterIP"].clone());
    drop(apply_chart(&plane, &released_chart(), "earlier", "{}")?);
    let before = address()?;
    ensure!(before != "None", "0.1.0 has given its Service an address");
    for json in ["{}", ALL, "{}"] {
        let said = apply(&plane, "earlier", json)?;
        ensure!(said.contains(ADVICE), "{said}");
        ensure!(address()? == before);
    }
    drop(plane.api().delete(service)?);
    let said = apply(&plane, "earlier", "{}")?;
    ensure!(!said.contains(ADVICE) && address()? == "None", "{said}");
    drop(plane.helm(&["uninstall", "crik", "--namespace", "earlier"])?);
    Ok(())
}
