//! Images without a registry: built from the Dockerfiles that users build, with the steps of those files, and put into one
//! archive that containerd imports.
//!
//! What stands in a `FROM` is made here: Debian's image from Debian's packages, and the Rust image by this machine's own
//! toolchain, which builds what the steps say. A step that is not understood is an error, so the files that users have and
//! what is tested cannot differ.

mod archive;
pub mod dockerfile;
mod layer;
mod stage;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub use self::archive::write;
use self::layer::Layer;
pub use self::layer::Merged;
pub use self::stage::{build, scanned};

/// An image.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its name and tag.
    pub name: String,
    layers: Vec<Layer>,
    config: serde_json::Value,
}

impl Image {
    /// How many bytes its layers have, uncompressed.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn size(&self) -> Result<u64> {
        self.layers.iter().try_fold(0, |sum, layer| Ok(sum + layer.tar().metadata()?.len()))
    }

    /// What names its contents: the digests of its layers, from the lowest up.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn digests(&self) -> Result<Vec<String>> {
        self.layers.iter().map(Layer::digest).collect()
    }

    /// Makes the tar file of its uppermost layer once more, from files that were all written just now, and returns its digest.
    ///
    /// # Errors
    /// The disk is full.
    pub fn digest_of_another_build(&self) -> Result<String> {
        self.layers.last().context("an image without layers")?.pack_again()
    }

    /// The paths of all its files, without those of directories.
    ///
    /// # Errors
    /// A layer cannot be read.
    pub fn files(&self) -> Result<Vec<String>> {
        let mut files = Vec::new();
        for layer in &self.layers {
            let list = crate::command::run("tar", &["--list", "--file", &layer.tar().to_string_lossy()])?;
            let names = list.lines().map(|line| line.trim_start_matches("./"));
            files.extend(names.filter(|name| !name.ends_with('/') && !name.is_empty()).map(str::to_owned));
        }
        Ok(files)
    }

    /// An image of one program, which is all that it has.
    ///
    /// # Errors
    /// The program cannot be read.
    pub fn of_program(name: &str, program: &Path) -> Result<Self> {
        let layers = vec![stage::program(program)?];
        let file = Path::new("/").join(program.file_name().unwrap_or_default());
        Ok(Self { name: name.to_owned(), layers, config: serde_json::json!({"Entrypoint": [file]}) })
    }
}

/// A Dockerfile of the repository, and what its image is called.
pub struct Recipe {
    /// The image's name and tag.
    pub name: &'static str,
    /// The file's path in the repository.
    pub file: &'static str,
}

/// The images that are built, each after those that it copies from.
pub const RECIPES: [Recipe; 9] = [
    Recipe { name: "crik-agent:0.1.0", file: "deploy/Dockerfile.agent" },
    Recipe { name: "crik-controller:0.1.0", file: "deploy/Dockerfile.controller" },
    Recipe { name: "counter:1", file: "deploy/examples/counter/Dockerfile" },
    Recipe { name: "batch:1", file: "deploy/examples/batch/Dockerfile" },
    Recipe { name: "redis-with-crik:1", file: "deploy/examples/redis/Dockerfile" },
    Recipe { name: "training:1", file: "deploy/examples/training/Dockerfile" },
    Recipe { name: "programs:1", file: "tests/cluster/Dockerfile" },
    Recipe { name: "programs:2", file: "tests/cluster/Dockerfile.next" },
    Recipe { name: "plain:1", file: "tests/cluster/Dockerfile.plain" },
];

/// What the manifests in `deploy/examples/recipes` name and registries have, which has never heard of crik.
pub const PUBLIC: [Recipe; 4] = [
    Recipe { name: "python:3.13-slim", file: "tests/cluster/Dockerfile.python" },
    Recipe { name: "redis:8", file: "tests/cluster/Dockerfile.redis" },
    Recipe { name: "node:20-slim", file: "tests/cluster/Dockerfile.node" },
    Recipe { name: "notebook:1", file: "tests/cluster/Dockerfile.notebook" },
];

/// Builds all images of these recipes.
///
/// # Errors
/// A step fails or is not understood.
pub fn build_all(recipes: &[Recipe]) -> Result<Vec<Image>> {
    let mut built = Vec::new();
    for recipe in recipes {
        let image = build(recipe, &built)?;
        built.push(image);
    }
    Ok(built)
}

/// The directory that holds the repository, which is the context of all Dockerfiles.
fn context() -> PathBuf {
    crate::build::workspace().to_owned()
}
