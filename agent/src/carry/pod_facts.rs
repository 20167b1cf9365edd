//! Reads what this pod gives a program: its release, its environment, and the files of ConfigMaps that the command line names.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use crik_store::generation::own_values::OwnValues;
use crik_store::generation::pod_facts::{self, PodFacts};
use crik_store::generation::program_digests::ProgramDigests;
use crik_store::generation::verify::VerifyError;

use crate::base::limits;
use crate::carry::kubelet_files;
use crate::config::{ChangedPod, Config};

/// What this pod, with these values of its own, gives a program with this command line.
pub fn here(config: &Config, command: &[OsString], own: &OwnValues) -> PodFacts {
    let text = |value: OsString| value.to_string_lossy().into_owned();
    let variables = env::vars_os().map(|(name, value)| (text(name), text(value)));
    let files = command.iter().skip(1).filter_map(|argument| {
        let path = Path::new(argument);
        Some((path.to_str()?.to_owned(), pod_facts::hash(own, &contents(path)?)))
    });
    PodFacts {
        release: config.release.clone(),
        environment: PodFacts::environment_of(variables, own),
        pod_files: files.collect(),
    }
}

/// The contents of a file that the kubelet writes; none of any other, since what lies on a volume is data.
fn contents(path: &Path) -> Option<String> {
    let real = path.canonicalize().ok().filter(|real| kubelet_files::is_one(real))?;
    let meta = fs::metadata(&real).ok()?;
    let bytes =
        (meta.is_file() && meta.len() <= limits::POD_FILE_MAX_BYTES).then(|| fs::read(real).ok())??;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Says what a resumed program does not know of its new pod, or refuses it for that.
///
/// # Errors
/// The release is another one; or something else is, and the program is not to go on with it as it was.
pub fn compare(
    then: &ProgramDigests,
    config: &Config,
    command: &[OsString],
    own: &OwnValues,
) -> Result<(), VerifyError> {
    if let Some(other) = then.pod.is_of_another_release(config.release.as_deref()) {
        return Err(VerifyError::Obstacle(other));
    }
    let Some(differences) = then.pod.differences(&here(config, command, own)) else { return Ok(()) };
    if config.changed_pod == ChangedPod::Fresh {
        return Err(VerifyError::Obstacle(format!(
            "the pod is another one than when the program was started, in {differences} (changedPod: fresh)"
        )));
    }
    tracing::warn!(
        step = "restore",
        "the pod is another one than when the program was started, in {differences}; the program keeps what it had then, see \
         changedPod"
    );
    Ok(())
}
