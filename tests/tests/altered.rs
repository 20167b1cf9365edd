//! What somebody has altered on the volume is never resumed, and keeps nothing from starting.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use crik_store::generation::manifest::Manifest;
use crik_store::generation::signature::Keys;
use crik_store::generation::verify;
use crik_store::image_dir::Generation;
use crik_tests::pod::Pod;
use crik_tests::shared::Shared;
use crik_tests::story::{checkpointed, resumes, started, starts_fresh};
use crik_tests::table::Table;
use crik_tests::volume::Volume;
use serde_json::{Value, json};

const KEY: &str = "/checkpoints/key";

/// As a Secret would be mounted, but for where: the volume is what all pods of a test see.
const SECRET: &str = "jZ4mRqkGh0uVwvX7l0n9yS5sVb3c8e1f";

fn config(signed: bool) -> String {
    let key = if signed { format!("signingKeyFile: {KEY}\n") } else { String::new() };
    format!("{key}keepGenerations: 9\nadditionalPaths: [/data]")
}

fn pod(volume: &Volume, signed: bool) -> Pod {
    Pod::new(volume, "node-a", &["python3", "/programs/keeper.py", "/data"]).config(&config(signed))
}

/// A workload with an additional file and two generations, signed or not.
fn before(signed: bool) -> Result<Arc<Volume>> {
    static BEFORE: [Shared<Volume>; 2] = [Shared::new(), Shared::new()];
    BEFORE[usize::from(signed)].get(|| {
        let volume = Volume::new()?;
        fs::write(volume.path().join("key"), SECRET)?;
        for _ in 0..2 {
            checkpointed(&pod(&volume, signed))?;
        }
        Ok(volume)
    })
}

fn generation(volume: &Volume, number: u64) -> PathBuf {
    volume.path().join(format!("job-0/generations/{number:08}"))
}

/// The next pod, which must run: from the older generation, or fresh.
fn next_is(volume: &Volume, signed: bool, expected: Option<u64>, reason: &str) -> Result<String> {
    let running = started(&pod(volume, signed))?;
    match expected {
        Some(number) => resumes(&running, number)?,
        None => starts_fresh(&running)?,
    }
    let log = running.stderr.text();
    let told = log
        .lines()
        .find(|line| line.contains(reason))
        .with_context(|| format!("{reason:?} is not in\n{log}"))?;
    let (_, said) = told.split_once("is skipped: ").unwrap_or(("", told));
    Ok(said.split(" step=").next().unwrap_or_default().chars().take(100).collect())
}

type Alteration = fn(&Path, &Path) -> Result<()>;

/// Alters the first file, by help of the same one in the other generation.
const ALTERATIONS: [(&str, Alteration); 7] = [
    ("truncated", |file, _| {
        let length = fs::metadata(file)?.len();
        Ok(fs::OpenOptions::new().write(true).open(file)?.set_len(length / 2)?)
    }),
    ("emptied", |file, _| Ok(fs::write(file, "")?)),
    ("deleted", |file, _| Ok(fs::remove_file(file)?)),
    ("one bit flipped", |file, _| {
        let mut bytes = fs::read(file)?;
        let middle = bytes.len() / 2;
        *bytes.get_mut(middle).context("it is empty")? ^= 1;
        Ok(fs::write(file, bytes)?)
    }),
    ("swapped with the other generation's", |file, other| {
        let (one, two) = (fs::read(file)?, fs::read(other)?);
        ensure!(one != two, "they are the same");
        fs::write(file, two)?;
        Ok(fs::write(other, one)?)
    }),
    ("a link to itself elsewhere", |file, _| {
        let elsewhere = file.with_extension("elsewhere");
        fs::rename(file, &elsewhere)?;
        Ok(symlink(&elsewhere, file)?)
    }),
    ("a pipe", |file, _| {
        fs::remove_file(file)?;
        Ok(nix::unistd::mkfifo(file, nix::sys::stat::Mode::S_IRUSR)?)
    }),
];

/// What a start looks at before it resumes: true if nothing speaks against it.
fn is_good(volume: &Volume, number: u64, key: Option<&Keys>) -> bool {
    let path = generation(volume, number);
    Manifest::read(&path, Generation(number), key)
        .is_ok_and(|manifest| verify::files(&path, &manifest, &|_| {}).is_ok())
}

/// Every file of a generation, by its path in it.
fn files(generation: &Path) -> Result<Vec<PathBuf>> {
    let manifest: Value = serde_json::from_slice(&fs::read(generation.join("manifest.json"))?)?;
    let named = manifest["files"].as_object().context("no files")?.keys().map(PathBuf::from);
    Ok(named.chain(["manifest.json", "manifest.blake3"].map(PathBuf::from)).collect())
}

#[test]
fn every_file_altered_in_every_way_is_found() -> Result<()> {
    let before = before(false)?;
    ensure!(is_good(&before, 2, None), "it is not good to begin with");
    let names = files(&generation(&before, 2))?;
    let mut table = Table::new("every file of a generation, altered in every way");
    for (how, alter) in ALTERATIONS {
        table.each(
            &names,
            |_| how.to_owned(),
            |name| {
                let volume = before.copy()?;
                let [file, other] = [2, 1].map(|number| generation(&volume, number).join(name));
                // What cannot be altered in this way is as it was.
                if alter(&file, &other).is_err() {
                    ensure!(
                        is_good(&volume, 2, None),
                        "{} spoils it although nothing was done",
                        name.display()
                    );
                    return Ok("it cannot be: it is empty, or the same in both".to_owned());
                }
                ensure!(!is_good(&volume, 2, None), "{} is not missed", name.display());
                Ok("found".to_owned())
            },
        );
    }
    table.finish()
}

#[test]
fn every_byte_of_a_manifest_counts_without_a_key_too() -> Result<()> {
    let volume = before(false)?.copy()?;
    let path = generation(&volume, 2).join("manifest.json");
    let good = fs::read(&path)?;
    ensure!(is_good(&volume, 2, None), "it is not good to begin with");
    for at in 0..good.len() {
        let mut bytes = good.clone();
        // A digit stays one, and a letter.
        bytes[at] ^= 1;
        fs::write(&path, &bytes)?;
        ensure!(!is_good(&volume, 2, None), "byte {at} is not missed");
    }
    println!("{} bytes altered, one after the other; each is found", good.len());
    Ok(())
}

#[test]
fn after_every_kind_of_alteration_the_next_pod_goes_on_from_the_older_generation() -> Result<()> {
    let before = before(false)?;
    let mut table = Table::new("a generation altered, and then a new pod");
    // That of the application, which is the last process; its id is the kernel's to choose.
    let core = files(&generation(&before, 2))?
        .into_iter()
        .filter_map(|name| name.to_str().filter(|name| name.starts_with("criu/core-")).map(str::to_owned))
        .next_back()
        .context("no core image")?;
    let cases: Vec<(&str, &str, Alteration)> =
        ["criu/pages-2.img", core.as_str(), "carried.data", "carried.json", "manifest.json"]
            .into_iter()
            .flat_map(|name| ALTERATIONS.map(|(how, alter)| (name, how, alter)))
            // What goes along is the same in both, but for times.
            .filter(|(name, how, _)| !(name.starts_with("carried") && how.starts_with("swapped")))
            .collect();
    table.each(
        &cases,
        |(name, how, _)| format!("{name}: {how}"),
        |(name, how, alter)| {
            let volume = before.copy()?;
            let [file, other] = [2, 1].map(|number| generation(&volume, number).join(name));
            alter(&file, &other).with_context(|| format!("{name} cannot be {how}"))?;
            let swapped = how.starts_with("swapped");
            next_is(&volume, false, (!swapped).then_some(1), "generation 00000002 is skipped: ")
        },
    );
    table.finish()
}

#[test]
fn what_lies_beside_the_images_keeps_nothing_from_starting() -> Result<()> {
    let before = before(false)?;
    let mut table = Table::new("other things on the volume altered, and then a new pod");
    let skipped = "generation 00000002 is skipped: ";
    table.case("manifest of a newer version", || {
        let volume = before.copy()?;
        edit_manifest(&volume, |manifest| manifest["version"] = json!(99))?;
        next_is(&volume, false, Some(1), "version 99")
    });
    table.case("manifest of 100 MB", || {
        let volume = before.copy()?;
        fs::write(generation(&volume, 2).join("manifest.json"), vec![b' '; 100 << 20])?;
        next_is(&volume, false, Some(1), "which no manifest has")
    });
    table.case("manifest that leads out of the generation", || {
        let volume = before.copy()?;
        edit_manifest(&volume, |manifest| manifest["files"]["../../x"] = json!({"size": 0, "blake3": ""}))?;
        next_is(&volume, false, Some(1), "names a file outside the generation")
    });
    table.case("manifest that puts back a path with ..", || {
        let volume = before.copy()?;
        edit_manifest(&volume, |manifest| manifest["extraPaths"] = json!(["/data/../etc/passwd"]))?;
        next_is(&volume, false, Some(1), "names a file outside the generation")
    });
    table.case("an image more", || {
        let volume = before.copy()?;
        fs::write(generation(&volume, 2).join("criu/netns-9.img"), "?")?;
        next_is(&volume, false, Some(1), "not committed: criu/netns-9.img")
    });
    table.case("a link in the place of additional files", || {
        let volume = before.copy()?;
        symlink("/etc", generation(&volume, 2).join("files"))?;
        next_is(&volume, false, Some(1), "not committed: files")
    });
    table.case("the generation is a link", || {
        let volume = before.copy()?;
        let (path, elsewhere) = (generation(&volume, 2), volume.path().join("elsewhere"));
        fs::rename(&path, &elsewhere)?;
        symlink("/checkpoints/elsewhere", &path)?;
        next_is(&volume, false, Some(1), skipped)
    });
    for (name, rubbish) in
        [("empty", &b""[..]), ("rubbish", b"{\"attempts\": 7"), ("1 MB of zeros", &[0; 1 << 20])]
    {
        table.case(&format!("claim: {name}"), || {
            let volume = before.copy()?;
            fs::create_dir_all(volume.path().join("job-0/claims"))?;
            fs::write(volume.path().join("job-0/claims/00000002.json"), rubbish)?;
            next_is(&volume, false, Some(2), "restored generation 00000002")
        });
        table.case(&format!("mark of an end: {name}"), || {
            let volume = before.copy()?;
            fs::write(volume.path().join("job-0/ended.json"), rubbish)?;
            next_is(&volume, false, None, "ended.json")
        });
        table.case(&format!("holder: {name}"), || {
            let volume = before.copy()?;
            let hold = volume.path().join("job-0/holders/00000099");
            fs::create_dir_all(&hold)?;
            fs::write(hold.join("holder.json"), rubbish)?;
            fs::write(hold.join("released"), rubbish)?;
            next_is(&volume, false, Some(2), "restored generation 00000002")
        });
    }
    table.case("claim: a directory", || {
        let volume = before.copy()?;
        let claim = volume.path().join("job-0/claims/00000002.json");
        let _ = fs::remove_file(&claim);
        fs::create_dir_all(claim.join("x"))?;
        next_is(&volume, false, Some(2), "restored generation 00000002")
    });
    table.finish()
}

fn edit_manifest(volume: &Volume, edit: impl FnOnce(&mut Value)) -> Result<()> {
    let path = generation(volume, 2);
    let mut manifest = Volume::manifest(&path)?;
    edit(&mut manifest);
    Volume::put_manifest(&path, &manifest)
}

#[test]
fn with_a_key_only_what_was_signed_for_here_is_resumed() -> Result<()> {
    let signed = before(true)?;
    let mut table = Table::new("with a key, and then a new pod");
    table
        .case("as it was signed", || next_is(&signed.copy()?, true, Some(2), "restored generation 00000002"));
    table.case("an altered page whose hash was made to fit", || {
        let volume = signed.copy()?;
        let page = generation(&volume, 2).join("criu/pages-1.img");
        let mut bytes = fs::read(&page)?;
        bytes[100] ^= 1;
        fs::write(&page, &bytes)?;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        edit_manifest(&volume, |manifest| manifest["files"]["criu/pages-1.img"]["blake3"] = json!(hash))?;
        next_is(&volume, true, Some(1), "its signature does not match")
    });
    let rotated = || -> Result<Volume> {
        let volume = signed.copy()?;
        fs::rename(volume.path().join("key"), volume.path().join("old-key"))?;
        fs::write(volume.path().join("key"), SECRET.to_uppercase())?;
        Ok(volume)
    };
    table.case("signed before the key was rotated", || {
        next_is(&rotated()?, true, None, "after a rotation put the old one into acceptedKeyFiles")
    });
    table.case("signed before the key was rotated, and the old one is accepted", || {
        let volume = rotated()?;
        let accepting = pod(&volume, true).config("acceptedKeyFiles: [/checkpoints/old-key]");
        checkpointed(&accepting)?;
        // Which went on from the second, or would have none to add to, and signed with the new key.
        next_is(&volume, true, Some(3), "restored generation 00000003")
    });
    table.case("the signature of another generation", || {
        let volume = signed.copy()?;
        fs::copy(generation(&volume, 1).join("manifest.mac"), generation(&volume, 2).join("manifest.mac"))?;
        next_is(&volume, true, Some(1), "its signature does not match")
    });
    table.case("no signature", || {
        let volume = signed.copy()?;
        fs::remove_file(generation(&volume, 2).join("manifest.mac"))?;
        next_is(&volume, true, Some(1), "it is not signed")
    });
    table.case("a generation of before there was a key", || {
        let volume = before(false)?.copy()?;
        next_is(&volume, true, None, "it is not signed")
    });
    table.case("the older generation under a newer number", || {
        let volume = signed.copy()?;
        fs::remove_dir_all(generation(&volume, 2))?;
        fs::rename(generation(&volume, 1), generation(&volume, 2))?;
        next_is(&volume, true, None, "its manifest is that of generation 00000001")
    });
    table.case("another replica's generation", || {
        let volume = signed.copy()?;
        fs::rename(volume.path().join("job-0"), volume.path().join("job-1"))?;
        let other = pod(&volume, true).with(|spec| spec.env("POD_NAME", "job-1"));
        let running = started(&other)?;
        starts_fresh(&running)?;
        running.stderr.wait_for("it is signed for the image directory /checkpoints/job-0, and this is")?;
        Ok("it is signed for another image directory".to_owned())
    });
    table.case("without the key it is resumed too", || {
        next_is(&signed.copy()?, false, Some(2), "restored generation 00000002")
    });
    table.finish()
}

#[test]
fn a_key_that_cannot_be_used_is_a_mistake_in_the_configuration() -> Result<()> {
    let volume = Volume::new()?;
    fs::write(volume.path().join("key"), "hunter2")?;
    let mut running = pod(&volume, true).start()?;
    ensure!(running.wait()? == 78, "{}", running.transcript());
    running.stderr.wait_for("has 7 bytes, and a key has at least 32")?;
    ensure!(!running.stderr.text().contains("hunter2"), "the key was shown");
    Ok(())
}

#[test]
fn nobody_else_can_read_a_checkpoint() -> Result<()> {
    let before = before(true)?;
    let root = before.path().join("job-0");
    ensure!(fs::metadata(&root)?.permissions().mode() & 0o777 == 0o700, "the image directory");
    let mut open = Vec::new();
    visit(&root, &mut |path, mode| {
        if mode & 0o077 != 0 {
            open.push(format!("{} {mode:o}", path.display()));
        }
    })?;
    ensure!(open.is_empty(), "{open:#?}");
    Ok(())
}

fn visit(directory: &Path, tell: &mut impl FnMut(&Path, u32)) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let meta = path.symlink_metadata()?;
        tell(&path, meta.permissions().mode() & 0o777);
        if meta.is_dir() {
            visit(&path, tell)?;
        }
    }
    Ok(())
}
