//! The images that users build from `deploy/`, which are the images that everything here runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_tests::build::workspace;
use crik_tests::cluster::images::dockerfile::{self, Step};
use crik_tests::cluster::images::{RECIPES, Recipe, build, build_all, scanned};
use crik_tests::command::run;

/// The agent's image: crik, CRIU, and the libraries of both.
const AGENT_LIMIT: u64 = 20_000_000;

#[test]
fn the_agents_image_has_the_agent_criu_and_their_libraries() -> Result<()> {
    let images = build_all(&RECIPES[..2])?;
    for image in &images {
        println!("{}: {:.1} MB", image.name, image.size()? as f64 / 1e6);
    }
    let agent = images.first().context("no image")?;
    ensure!(agent.size()? < AGENT_LIMIT, "{} has {} bytes", agent.name, agent.size()?);
    let files = agent.files()?;
    let allowed =
        |file: &String| file.starts_with("usr/local/lib/crik/") || file.starts_with("usr/local/bin/cri");
    let others: Vec<&String> = files.iter().filter(|file| !allowed(file)).collect();
    ensure!(others.is_empty(), "what is this for? {others:?}");
    for program in ["usr/local/bin/crik", "usr/local/bin/criu"] {
        ensure!(files.iter().any(|file| file == program), "{program} is missing");
    }
    Ok(())
}

/// The controller's, which has no CRIU.
const CONTROLLER_LIMIT: u64 = 25_000_000;

#[test]
fn the_controllers_image_has_the_controller_its_libraries_authorities_for_registries_and_no_shell()
-> Result<()> {
    let images = build_all(&RECIPES[1..2])?;
    let controller = images.first().context("no image")?;
    println!("{}: {:.1} MB", controller.name, controller.size()? as f64 / 1e6);
    ensure!(controller.size()? < CONTROLLER_LIMIT, "{} has {} bytes", controller.name, controller.size()?);
    let library = |file: &str| file.starts_with("lib") && file.contains(".so.");
    let files = controller.files()?;
    let (libraries, others): (Vec<_>, Vec<_>) = files.iter().partition(|file| library(file));
    let expected = ["etc/ssl/certs/ca-certificates.crt", "usr/local/bin/crik-controller"];
    ensure!(others == expected, "what is this for? {others:?}");
    ensure!(libraries.len() <= 5, "{libraries:?}");
    Ok(())
}

#[test]
fn every_base_that_is_pulled_is_named_by_its_digest() -> Result<()> {
    for recipe in &RECIPES[..2] {
        let text = fs::read_to_string(workspace().join(recipe.file))?;
        for stage in dockerfile::parse(&text)? {
            let known = stage.base == "scratch" || stage.base.contains("@sha256:");
            ensure!(known, "{}: FROM {} is another image every week", recipe.file, stage.base);
        }
    }
    Ok(())
}

/// As Debian's images have it.
const SOURCES: &str = "\
Types: deb
# http://snapshot.debian.org/archive/debian/20261110T000000Z
URIs: http://deb.debian.org/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp

Types: deb
# http://snapshot.debian.org/archive/debian-security/20261110T000000Z
URIs: http://deb.debian.org/debian-security
Suites: trixie-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp
";

/// What `deploy/snapshot.sh` makes of them for this day.
fn sources_of(day: &str) -> Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), SOURCES)?;
    let script = workspace().join("deploy/snapshot.sh");
    run("sh", &[&script.to_string_lossy(), day, &file.path().to_string_lossy()])?;
    Ok(fs::read_to_string(file.path())?)
}

/// Sid keeps no old version, and a mirror no old list.
#[test]
fn every_package_is_of_the_day_that_the_dockerfile_names() -> Result<()> {
    let mut days = 0;
    for recipe in &RECIPES[..2] {
        for stage in dockerfile::parse(&fs::read_to_string(workspace().join(recipe.file))?)? {
            let installs = |step: &Step| matches!(step, Step::Run(command) if command.contains("apt-get"));
            let Some(at) = stage.steps.iter().position(installs) else { continue };
            let (before, Step::Run(command)) = (&stage.steps[..at], &stage.steps[at]) else { continue };
            let set = r#"sh /snapshot.sh "$SNAPSHOT" /etc/apt/sources.list.d/debian.sources "#;
            ensure!(command.starts_with(set), "{}: {command}", recipe.file);
            let day = before.iter().find_map(|step| match step {
                Step::Argument(name, value) if name == "SNAPSHOT" => Some(value),
                _ => None,
            });
            let sources = sources_of(day.context("it names no day")?)?;
            let urls: Vec<&str> =
                sources.lines().filter_map(|line| line.strip_prefix("URIs: http://")).collect();
            let archive = "snapshot.debian.org/archive";
            let expected =
                ["debian", "debian-security"].map(|name| format!("{archive}/{name}/20261122T000000Z"));
            ensure!(urls == expected, "{sources}");
            ensure!(sources.matches("Check-Valid-Until: no\nSuites: ").count() == 2, "{sources}");
            days += 1;
        }
    }
    ensure!(days == 2, "{days} stages install packages");
    ensure!(sources_of("")? == SOURCES, "today's packages are taken from where they always are");
    Ok(())
}

/// Which package each file is of by the word of Debian's own database, by the file's last name, in what is looked at for a
/// bill of materials.
fn packages(recipe: &Recipe) -> Result<BTreeMap<String, String>> {
    let mut owners = BTreeMap::new();
    for stage in scanned(recipe)? {
        let database = stage.path().join("var/lib/dpkg");
        let admin = format!("--admindir={}", database.display());
        let format = "--showformat=${binary:Package} ${db:Status-Status} ${Version}\n";
        for line in run("dpkg-query", &[&admin, "--show", format])?.lines() {
            let (package, version) = line.split_once(" installed ").with_context(|| line.to_owned())?;
            let list = database.join(format!("info/{package}.list"));
            let names = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
            let names = names.lines().filter_map(|path| Some(path.rsplit_once('/')?.1.to_owned()));
            owners.extend(names.map(|name| (name, format!("{package} {version}"))));
        }
    }
    Ok(owners)
}

/// The file of a package that makes this one when it is configured, or the file itself (update-ca-certificates(8)).
fn maker_of(name: &str) -> &str {
    if name == "ca-certificates.crt" { "update-ca-certificates" } else { name }
}

/// What a scanner finds is what the stages' databases name: Debian's, and Cargo.lock for the program that is built.
#[test]
fn each_file_of_an_image_is_of_a_package_that_its_bill_of_materials_can_name() -> Result<()> {
    for recipe in &RECIPES[..2] {
        let (image, packages) = (build(recipe, &[])?, packages(recipe)?);
        let built = recipe.name.split(':').next().unwrap_or_default();
        let built = built.strip_suffix("-agent").unwrap_or(built);
        let mut found = BTreeSet::new();
        for file in image.files()? {
            let name = file.rsplit('/').next().unwrap_or_default();
            if name != built {
                let package =
                    packages.get(maker_of(name)).with_context(|| format!("{file} is of no package"))?;
                found.insert(package.clone());
            }
        }
        println!("{}: {found:?}", recipe.name);
        let criu = found.iter().any(|package| package.starts_with("criu 4.2"));
        ensure!(criu == (built == "crik"), "{found:?}");
        ensure!(found.iter().any(|package| package.starts_with("libc6")), "{found:?}");
    }
    let ignored = fs::read_to_string(workspace().join(".dockerignore"))?;
    ensure!(!ignored.contains("Cargo.lock") && workspace().join("Cargo.lock").exists(), "{ignored}");
    Ok(())
}

#[test]
fn the_bytes_of_a_layer_tell_neither_when_nor_in_which_order_its_files_were_written() -> Result<()> {
    let images = build_all(&RECIPES[..2])?;
    for image in &images {
        let digests = image.digests()?;
        let again = image.digest_of_another_build()?;
        ensure!(digests.last() == Some(&again), "{}: {digests:?}, and packed again {again}", image.name);
    }
    Ok(())
}
