//! A bucket of an S3 server beside the cluster, which pods find by the name of a Service: `http://s3.storage:9000`, bucket `checkpoints`.

use std::process::Command;

use anyhow::Result;

use super::addresses::HOST;
use super::settings::Settings;
use crate::build::workspace;
use crate::control_plane::ControlPlane;
use crate::tools::moto;

const PORT: u16 = 9000;

const NAME: &str = "checkpoints";

/// What serves it. What is in it is in its memory.
///
/// # Errors
/// It cannot be installed.
pub fn server() -> Result<Command> {
    let mut command = Command::new(moto()?);
    command.arg(workspace().join("tests/tools/moto/serve.py"));
    command.args([&HOST.to_string(), NAME, "--port", &PORT.to_string()]);
    Ok(command)
}

/// Gives it a name.
///
/// # Errors
/// The API server refuses.
pub fn announce(plane: &ControlPlane) -> Result<()> {
    let mut settings = Settings::default();
    settings.set("HOST", HOST);
    settings.set("PORT", PORT);
    let file = settings
        .write(include_str!("../../cluster/storage.yaml"), &plane.directory().join("storage.yaml"))?;
    plane.kubectl(&["apply", "--filename", &file.to_string_lossy()]).map(drop)
}
