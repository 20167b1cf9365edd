//! `make values-schema`: writes Kubernetes' own types into the chart's values.schema.json anew.

use std::fs;

use anyhow::Result;
use crik_tests::build::workspace;
use crik_tests::chart::values_schema::renewed;
use crik_tests::control_plane::ControlPlane;

fn main() -> Result<()> {
    let path = workspace().join("charts/crik/values.schema.json");
    let plane = ControlPlane::start()?;
    Ok(fs::write(&path, renewed(&fs::read_to_string(&path)?, plane.api())?)?)
}
