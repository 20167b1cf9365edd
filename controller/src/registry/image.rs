//! What an image starts.

use oci_spec::image::{Arch, Descriptor, ImageConfiguration, ImageIndex, Os};

use super::error::LookupError;

/// What an image starts, unless a container says otherwise.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Image {
    /// `ENTRYPOINT`, of which the shell form is a list of words too.
    pub entrypoint: Vec<String>,
    /// `CMD`.
    pub cmd: Vec<String>,
}

impl Image {
    /// As its configuration has it.
    pub fn of(configuration: &ImageConfiguration) -> Self {
        let config = configuration.config().as_ref();
        let words = |list: Option<&Option<Vec<String>>>| list.cloned().flatten().unwrap_or_default();
        Self {
            entrypoint: words(config.map(|config| config.entrypoint())),
            cmd: words(config.map(|config| config.cmd())),
        }
    }

    /// How many bytes its words have.
    pub fn bytes(&self) -> usize {
        self.entrypoint.iter().chain(&self.cmd).map(String::len).sum()
    }
}

/// The architectures that crik has programs for, by the names that nodes have and images, too.
pub const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

/// Those of an index that the pod's nodes may take: of the architectures that it names, or of those that crik is for.
///
/// # Errors
/// There is none.
pub fn of_nodes(index: &ImageIndex, architectures: &[String]) -> Result<Vec<Descriptor>, LookupError> {
    let is_taken = |arch: &Arch| match architectures {
        [] => ARCHITECTURES.contains(&arch.to_string().as_str()),
        named => named.contains(&arch.to_string()),
    };
    let is_one = |one: &&Descriptor| {
        one.platform().as_ref().is_some_and(|on| *on.os() == Os::Linux && is_taken(on.architecture()))
    };
    let mut found: Vec<Descriptor> = index.manifests().iter().filter(is_one).cloned().collect();
    // A variant more or less starts the same: the first of each architecture is what runtimes take.
    let mut seen: Vec<Arch> = Vec::new();
    found.retain(|one| {
        let arch = one.platform().as_ref().map(|on| on.architecture().clone()).unwrap_or_default();
        let is_new = !seen.contains(&arch);
        seen.push(arch);
        is_new
    });
    let wanted = || match architectures {
        [] => "Linux on amd64 or arm64".to_owned(),
        named => format!("Linux on {}", named.join(" or ")),
    };
    if found.is_empty() { Err(LookupError::NoPlatform(wanted())) } else { Ok(found) }
}
