//! A layer of an image: what one step has changed, kept on this machine under a name made from all that went into it.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use sha2::{Digest as _, Sha256};

use crate::command::run;
use crate::harness::cache::{self, CACHE};

/// Files that are newer than this get this time, so that the same files make the same layer: 2026-11-01. Older times stay:
/// Python compares them with those in its compiled files.
const NEWEST: &str = "@1793491200";

/// A layer, and the tar file that it is in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    key: String,
    directory: PathBuf,
}

impl Layer {
    /// The layer that `change` makes over others, in a directory where all of them are seen together; kept from an earlier
    /// time if `inputs`, all that the change depends on, are the same.
    ///
    /// # Errors
    /// The change fails, or the disk is full.
    pub fn over(below: &[Self], inputs: &str, change: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let mut hash = Sha256::new();
        below.iter().for_each(|layer| hash.update(&layer.key));
        hash.update(inputs);
        let key = hex(hash)[..24].to_owned();
        let layer = Self { directory: Path::new(CACHE).join("layers").join(&key), key };
        fs::create_dir_all(Path::new(CACHE).join("layers"))?;
        let lock = File::create(layer.directory.with_extension("lock"))?;
        lock.lock()?;
        if !layer.directory.exists() {
            cache::sweep(&Path::new(CACHE).join("layers"));
            layer.make(below, change)?;
        }
        cache::used(&layer.directory)?;
        Ok(layer)
    }

    /// Under another name first, so that one that was interrupted is not taken for a whole one.
    fn make(&self, below: &[Self], change: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let partial = self.directory.with_extension("partial");
        let _ = fs::remove_dir_all(&partial);
        fs::create_dir_all(partial.join("files"))?;
        {
            let merged = Merged::new(below, Some(&partial))?;
            change(merged.path())?;
        }
        pack(&partial)?;
        Ok(fs::rename(&partial, &self.directory)?)
    }

    /// Makes the tar file once more, from copies of its files that have the time of now, and returns its
    /// digest.
    ///
    /// # Errors
    /// The disk is full.
    pub fn pack_again(&self) -> Result<String> {
        let again = tempfile::Builder::new().prefix("crik-image-").tempdir_in("/var/tmp")?;
        let (from, to) =
            (self.files().display().to_string(), again.path().join("files").display().to_string());
        let copy =
            "cp --recursive --preserve=mode,links,xattr \"$1\" \"$2\" && find \"$2\" -exec touch -h {} +";
        run("sh", &["-c", copy, "sh", &from, &to])?;
        pack(again.path())?;
        Ok(fs::read_to_string(again.path().join("digest"))?)
    }

    /// The tar file.
    pub fn tar(&self) -> PathBuf {
        self.directory.join("layer.tar")
    }

    /// The tar file's digest, which is the layer's name in an image.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn digest(&self) -> Result<String> {
        fs::read_to_string(self.directory.join("digest"))
            .with_context(|| self.directory.display().to_string())
    }

    fn files(&self) -> PathBuf {
        self.directory.join("files")
    }
}

/// Several layers as one file system, as long as this lives.
pub struct Merged {
    mount: tempfile::TempDir,
}

impl Merged {
    /// What is written goes to `upper`; it is read-only if there is none.
    ///
    /// # Errors
    /// It cannot be mounted.
    pub fn new(below: &[Layer], upper: Option<&Path>) -> Result<Self> {
        let mount_point = tempfile::Builder::new().prefix("crik-image-").tempdir_in("/var/tmp")?;
        let empty = Path::new(CACHE).join("layers/empty");
        // The kernel wants two layers if nothing can be written.
        for name in ["a", "b"] {
            fs::create_dir_all(empty.join(name))?;
        }
        let topmost_first =
            below.iter().rev().map(Layer::files).chain(["a", "b"].map(|name| empty.join(name)));
        let lower: Vec<String> = topmost_first.map(|path| path.display().to_string()).collect();
        let mut options = format!("lowerdir={}", lower.join(":"));
        if let Some(upper) = upper {
            fs::create_dir_all(upper.join("work"))?;
            options += &format!(
                ",upperdir={},workdir={}",
                upper.join("files").display(),
                upper.join("work").display()
            );
        }
        mount(Some("overlay"), mount_point.path(), Some("overlay"), MsFlags::empty(), Some(options.as_str()))
            .context("cannot mount an overlay")?;
        Ok(Self { mount: mount_point })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.mount.path()
    }
}

impl Drop for Merged {
    fn drop(&mut self) {
        let _ = umount2(self.mount.path(), MntFlags::MNT_DETACH);
    }
}

/// Makes the tar file of what is in `files`.
fn pack(layer: &Path) -> Result<()> {
    let (files, tar) = (layer.join("files"), layer.join("layer.tar"));
    let archived = layer.join("archived");
    run("cp", &["--archive", &files.to_string_lossy(), &archived.to_string_lossy()])?;
    name_what_was_removed(&archived)?;
    run(
        "tar",
        &[
            "--create",
            "--file",
            &tar.to_string_lossy(),
            "--directory",
            &archived.to_string_lossy(),
            "--sort=name",
            "--numeric-owner",
            "--clamp-mtime",
            // In the form of POSIX, since no other has them; without the times of now that this has besides.
            "--format=posix",
            "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
            "--xattrs",
            "--xattrs-include=security.capability",
            &format!("--mtime={NEWEST}"),
            ".",
        ],
    )?;
    fs::remove_dir_all(&archived)?;
    let _ = fs::remove_dir_all(layer.join("work"));
    let sum = run("sha256sum", &[&tar.to_string_lossy()])?;
    let digest = sum.split_whitespace().next().context("no digest")?;
    Ok(fs::write(layer.join("digest"), digest)?)
}

/// Overlayfs leaves a device 0:0 where something was removed; in an image it is an empty file with `.wh.` before its name.
fn name_what_was_removed(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_dir() {
            name_what_was_removed(&path)?;
        } else if kind.is_char_device() && entry.metadata()?.rdev() == 0 {
            fs::remove_file(&path)?;
            fs::write(directory.join(format!(".wh.{}", entry.file_name().to_string_lossy())), "")?;
        }
    }
    Ok(())
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
