//! Does what the steps of a Dockerfile say.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::dockerfile::{Stage, Step, parse};
use super::layer::{Layer, Merged};
use super::{Image, Recipe, context};
use crate::build::cargo_bin;
use crate::command::run;

/// The image with this machine's toolchain in it; its steps must build one package of the workspace.
const TOOLCHAIN: &str = "rust:1-bookworm";

/// Debian's image, which is made from the same packages.
const DEBIAN: &str = "debian:trixie-slim";

/// Makes [`DEBIAN`].
const DEBIAN_SCRIPT: &str = include_str!("../../../cluster/debian.sh");

/// What [`TOOLCHAIN`]'s steps may be: they are done by [`cargo_bin`].
const BUILD: &str = "cargo build --release --locked --package ";

/// Where those steps leave the programs.
const BUILT: &str = "/src/target/release/";

/// What `docker build --build-arg` would be given here: a machine may reach Debian's mirrors and not the archive of all their days.
const ARGUMENTS: [(&str, &str); 1] = [("SNAPSHOT", "")];

/// Environment of Debian's image.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a stage has become.
#[derive(Default)]
struct Done {
    layers: Vec<Layer>,
    env: Vec<String>,
    /// What is in the environment of commands, and not in that of the image.
    arguments: Vec<String>,
    config: BTreeMap<&'static str, Value>,
    workdir: String,
    /// Whether it is looked at for the bill of materials.
    scanned: bool,
    /// Packages that this machine's toolchain has built, instead of layers.
    packages: Vec<String>,
}

/// Builds an image; it may copy from those that were built before.
///
/// # Errors
/// A step fails or is not understood; the message has the step.
pub fn build(recipe: &Recipe, before: &[Image]) -> Result<Image> {
    let (_, last) = run_all(recipe, before)?.pop().context("no stage")?;
    ensure!(last.packages.is_empty(), "{} ends in {TOOLCHAIN}", recipe.file);
    let mut config = last.config;
    config.insert("Env", json!(last.env));
    Ok(Image { name: recipe.name.to_owned(), layers: last.layers, config: json!(config) })
}

/// The file systems that BuildKit looks at when it writes the bill of materials of an image that copies from no other; but for the
/// toolchain's, which is this machine's, and where the workspace is what it finds.
///
/// # Errors
/// A step fails or is not understood; the message has the step.
pub fn scanned(recipe: &Recipe) -> Result<Vec<Merged>> {
    let stages = run_all(recipe, &[])?;
    let scanned = stages.iter().filter(|(_, done)| done.scanned && !done.layers.is_empty());
    scanned.map(|(_, done)| Merged::new(&done.layers, None)).collect()
}

/// What each stage has become, with its name.
fn run_all(recipe: &Recipe, before: &[Image]) -> Result<Vec<(Option<String>, Done)>> {
    let text = fs::read_to_string(context().join(recipe.file)).with_context(|| recipe.file.to_owned())?;
    let mut done: Vec<(Option<String>, Done)> = Vec::new();
    for stage in parse(&text).with_context(|| recipe.file.to_owned())? {
        let result = run_stage(&stage, &done, before).with_context(|| recipe.file.to_owned())?;
        done.push((stage.name, result));
    }
    Ok(done)
}

/// A layer that has one program.
pub fn program(path: &Path) -> Result<Layer> {
    copy_layer(&[], &[path.to_owned()], "/")
}

fn run_stage(stage: &Stage, earlier: &[(Option<String>, Done)], before: &[Image]) -> Result<Done> {
    let name = named(&stage.base)?;
    let mut done = base(name, before)?;
    for step in &stage.steps {
        if name == TOOLCHAIN {
            build_step(&mut done, step).with_context(|| format!("{step:?}"))?;
        } else {
            image_step(&mut done, step, earlier, before).with_context(|| format!("{step:?}"))?;
        }
    }
    Ok(done)
}

/// A base's name and tag. Its digest says which of the registry's it is, and here there is only one.
fn named(base: &str) -> Result<&str> {
    let Some((name, digest)) = base.split_once('@') else { return Ok(base) };
    let hex = digest.strip_prefix("sha256:").with_context(|| format!("{base}: no sha256"))?;
    ensure!(hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()), "{base}: no digest");
    Ok(name)
}

fn base(name: &str, before: &[Image]) -> Result<Done> {
    let debian = || Layer::over(&[], DEBIAN_SCRIPT, |root| script(DEBIAN_SCRIPT, root));
    Ok(match name {
        "scratch" | TOOLCHAIN => Done::default(),
        DEBIAN => Done { layers: vec![debian()?], env: vec![PATH.to_owned()], ..Done::default() },
        _ => {
            let image = before.iter().find(|image| image.name == name);
            let image = image.with_context(|| format!("FROM {name}: there is no such image here"))?;
            let env = serde_json::from_value(image.config["Env"].clone()).unwrap_or_default();
            Done { layers: image.layers.clone(), env, ..Done::default() }
        }
    })
}

fn script(text: &str, root: &Path) -> Result<()> {
    run("sh", &["-c", text, "debian.sh", &root.to_string_lossy()]).map(drop)
}

/// A step of [`TOOLCHAIN`].
fn build_step(done: &mut Done, step: &Step) -> Result<()> {
    match step {
        Step::Scanned => done.scanned = true,
        Step::Workdir(path) => ensure!(path == "/src", "the workspace must be at /src"),
        Step::Copy { from: None, sources, to } => {
            ensure!(sources == &["."] && to == ".", "the whole workspace must be copied");
        }
        Step::Run(command) => {
            let package = command.strip_prefix(BUILD).with_context(|| format!("only {BUILD:?} is known"))?;
            done.packages.push(package.to_owned());
        }
        _ => bail!("not known in {TOOLCHAIN}"),
    }
    Ok(())
}

fn image_step(
    done: &mut Done,
    step: &Step,
    earlier: &[(Option<String>, Done)],
    before: &[Image],
) -> Result<()> {
    match step {
        Step::Scanned => done.scanned = true,
        Step::Copy { from, sources, to } => {
            let to = if to.starts_with('/') { to.clone() } else { format!("{}/{to}", done.workdir) };
            let layer = copy(&done.layers, from.as_deref(), sources, &to, earlier, before)?;
            done.layers.push(layer);
        }
        Step::Argument(name, default) => done.arguments.push(argument(name, default)),
        Step::Run(command) => {
            let env = [&done.env[..], &done.arguments].concat();
            let layer = run_in(&done.layers, command, &env, &done.workdir)?;
            done.layers.push(layer);
        }
        Step::Workdir(path) => {
            path.clone_into(&mut done.workdir);
            done.config.insert("WorkingDir", json!(path));
        }
        Step::Env(name, value) => done.env.push(format!("{name}={value}")),
        Step::User(user) => drop(done.config.insert("User", json!(user))),
        Step::Expose(port) => drop(done.config.insert("ExposedPorts", json!({format!("{port}/tcp"): {}}))),
        Step::Entrypoint(words) => drop(done.config.insert("Entrypoint", json!(words))),
        Step::Cmd(words) => drop(done.config.insert("Cmd", json!(words))),
    }
    Ok(())
}

fn argument(name: &str, default: &str) -> String {
    let given = ARGUMENTS.iter().find(|(given, _)| *given == name);
    format!("{name}={}", given.map_or(default, |(_, value)| value))
}

fn copy(
    below: &[Layer],
    from: Option<&str>,
    sources: &[String],
    to: &str,
    earlier: &[(Option<String>, Done)],
    before: &[Image],
) -> Result<Layer> {
    let Some(from) = from else {
        let files: Vec<PathBuf> = sources.iter().map(|source| context().join(source)).collect();
        return copy_layer(below, &files, to);
    };
    let stage = earlier.iter().find(|(name, _)| name.as_deref() == Some(from)).map(|(_, done)| done);
    if let Some(stage) = stage.filter(|stage| !stage.packages.is_empty()) {
        let files: Result<Vec<PathBuf>> = sources.iter().map(|source| built(stage, source)).collect();
        return copy_layer(below, &files?, to);
    }
    let image = before.iter().find(|image| image.name == from);
    let layers = stage.map(|stage| &stage.layers).or(image.map(|image| &image.layers));
    let merged = Merged::new(
        layers.with_context(|| format!("--from={from}: there is no such stage or image"))?,
        None,
    )?;
    let files: Vec<PathBuf> =
        sources.iter().map(|source| merged.path().join(source.trim_start_matches('/'))).collect();
    copy_layer(below, &files, to)
}

/// A program that a step of [`TOOLCHAIN`] has built.
fn built(stage: &Done, source: &str) -> Result<PathBuf> {
    let bin = source.strip_prefix(BUILT).with_context(|| format!("only what is in {BUILT} is known"))?;
    let package =
        stage.packages.iter().find(|package| *package == bin || **package == format!("{bin}-agent"));
    cargo_bin(package.with_context(|| format!("no step builds {bin}"))?, bin, &[])
}

fn copy_layer(below: &[Layer], sources: &[PathBuf], to: &str) -> Result<Layer> {
    let mut inputs = format!("COPY {to}");
    for source in sources {
        inputs += &format!(" {}", fingerprint(source)?);
    }
    Layer::over(below, &inputs, |root| {
        let target = root.join(to.trim_start_matches('/'));
        for source in sources {
            copy_one(source, &target, to.ends_with('/') || sources.len() > 1)?;
        }
        Ok(())
    })
}

/// Into the target if that is to be a directory; the contents of a directory, not itself, as docker has it.
fn copy_one(source: &Path, target: &Path, into: bool) -> Result<()> {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let directory = if into || source.is_dir() { Some(target) } else { target.parent() };
    fs::create_dir_all(directory.context("no directory")?)?;
    let from = if source.is_dir() { source.join(".") } else { source.to_owned() };
    let owned = ["--recursive", "--no-dereference", "--preserve=mode,timestamps,links,xattr"];
    run("cp", &[&owned[..], &[&path(&from), &path(target)]].concat())?;
    // Nobody's rights on this machine are those in an image; what others may not read they may not there either.
    let _ = run("chmod", &["u+rwX,go+rX,go-w", &path(target)]);
    Ok(())
}

/// What tells the files of a path from others: their names, modes, capabilities and contents.
fn fingerprint(path: &Path) -> Result<String> {
    let script = "tar --create --directory \"$1\" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \\
        --format=posix --pax-option=exthdr.name=%d/%f,delete=atime,delete=ctime --xattrs --xattrs-include=security.capability \"$2\" \\
        | sha256sum";
    ensure!(path.exists(), "{} is missing", path.display());
    let directory = path.parent().unwrap_or(Path::new("/")).to_string_lossy();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    run("sh", &["-c", script, "sh", &directory, &name])
}

/// With the network of this machine, as docker has it by default.
fn run_in(below: &[Layer], command: &str, env: &[String], workdir: &str) -> Result<Layer> {
    let inputs = format!("RUN {command}\n{env:?}\n{workdir}");
    Layer::over(below, &inputs, |root| {
        let names = root.join("etc/resolv.conf");
        fs::copy("/etc/resolv.conf", &names)?;
        let root = root.to_string_lossy();
        let inside = format!("cd '/{workdir}' && {command}");
        let variables: Vec<&str> = env.iter().map(String::as_str).collect();
        let words = [
            &["-i", "DEBIAN_FRONTEND=noninteractive"][..],
            &variables,
            &["chroot", &root, "sh", "-c", &inside],
        ];
        run("env", &words.concat())?;
        Ok(fs::remove_file(names)?)
    })
}
