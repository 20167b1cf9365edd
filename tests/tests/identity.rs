//! What an image is resumed by: the same program, on a CPU that has what it needs, with the files that it had. Anything else
//! is said in a sentence, and is no crash loop.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::pod::Pod;
use crik_tests::story::{CHECKPOINTED, SINGLE, checkpointed, ends_with, resumes, started, starts_fresh};
use crik_tests::volume::Volume;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// A pod whose image has `/app/job.py` in a release of its own.
fn release(volume: &Volume, release: &str, command: &str) -> Pod {
    let install = format!(
        "mkdir /app && cp /programs/*.py /app/ && echo '# release {release}' >> /app/single.py && \
         (echo '#!/usr/bin/env python3'; cat /app/single.py) > /app/job.py && chmod +x /app/job.py && exec crik run -- {command}"
    );
    Pod::new(volume, "node-a", &[])
        .config("claimExpiry: 1s")
        .with(|spec| spec.command(&["sh", "-c", &install], &[]))
}

#[test]
fn a_new_release_of_the_program_starts_fresh_and_the_old_one_goes_on() -> Result<()> {
    for command in ["/app/job.py", "python3 /app/job.py"] {
        let volume = Volume::new()?;
        let first = checkpointed(&release(&volume, "1", command))?;
        let mut second = started(&release(&volume, "2", command))?;
        starts_fresh(&second)?;
        second
            .stderr
            .wait_for("the program /app/job.py is another one than at the checkpoint (a new release?)")?;
        second.signal(Signal::SIGKILL)?;
        second.wait()?;
        drop(second);
        let third = started(&release(&volume, "1", command))?;
        resumes(&third, 1)?;
        chain::verify(&[first, third.stdout.text()])?;
    }
    Ok(())
}

fn programs(volume: &Volume) -> Result<Value> {
    Ok(Volume::manifest(&volume.newest("job-0")?)?["identity"]["programs"].clone())
}

#[test]
fn a_release_that_is_named_tells_checkpoints_apart_where_no_file_does() -> Result<()> {
    let volume = Volume::new()?;
    let of = |tag: &str| {
        let pod = Pod::new(&volume, "node-a", &SINGLE).config("release: app:${IMAGE_TAG}");
        pod.with(|spec| spec.env("IMAGE_TAG", tag))
    };
    let first = checkpointed(&of("v1"))?;
    let mut second = started(&of("v2"))?;
    starts_fresh(&second)?;
    second.stderr.wait_for("it is of release app:v1, and this pod is of app:v2 (release)")?;
    second.signal(Signal::SIGKILL)?;
    second.wait()?;
    drop(second);
    // A pod that was killed has given nothing back.
    fs::remove_dir_all(volume.path().join("job-0/holders"))?;
    let third = started(&of("v1"))?;
    resumes(&third, 1)?;
    chain::verify(&[first, third.stdout.text()]).map(drop)
}

/// What the log says of a pod that gives the program something else.
const ANOTHER_POD: &str = "the pod is another one than when the program was started, in ";

/// A pod with this value of a variable, whose program is a script of a ConfigMap.
fn configured(volume: &Volume, mode: &str, comment: &str) -> Pod {
    let script = format!(
        "# {comment}\nimport runpy, sys\nsys.path.insert(0, '/programs')\nrunpy.run_path('/programs/single.py', run_name='__main__')\n"
    );
    let pod = Pod::new(volume, "node-a", &["python3", "/scripts/job.py"])
        .config_map("/scripts", &[("job.py", &script)]);
    pod.with(|spec| spec.env("MODE", mode))
}

#[test]
fn what_the_pod_spec_has_changed_is_told_by_its_name_and_never_by_its_value() -> Result<()> {
    let volume = Volume::new()?;
    let mut outputs = vec![checkpointed(&configured(&volume, "secret-1", "one"))?];
    // Another node, address and name are nothing that somebody has changed.
    let mut same = started(&configured(&volume, "secret-1", "one"))?;
    resumes(&same, 1)?;
    ends_with(&mut same, CHECKPOINTED)?;
    ensure!(!same.stderr.text().contains(ANOTHER_POD), "{}", same.transcript());
    outputs.push(same.stdout.text());

    // What it was started with is known over any number of moves.
    let mut other = started(&configured(&volume, "secret-2", "two").with(|spec| spec.env("ADDED", "1")))?;
    resumes(&other, 2)?;
    let differences = "the environment: ADDED (new), MODE; the contents of /scripts/job.py";
    other.stderr.wait_for(&format!("{ANOTHER_POD}{differences}"))?;
    ensure!(!other.stderr.text().contains("secret-"), "{}", other.transcript());
    ends_with(&mut other, CHECKPOINTED)?;
    outputs.push(other.stdout.text());
    chain::verify(&outputs)?;

    let fresh = started(&configured(&volume, "secret-2", "one").config("changedPod: fresh"))?;
    starts_fresh(&fresh)?;
    fresh.stderr.wait_for(&format!("{ANOTHER_POD}the environment: MODE (changedPod: fresh)"))
}

#[test]
fn the_programs_of_the_first_start_are_carried_on() -> Result<()> {
    let volume = Volume::new()?;
    let pod = release(&volume, "1", "python3 /app/job.py");
    let mut outputs = vec![checkpointed(&pod)?];
    let first = programs(&volume)?;
    let names: Vec<&String> = first.as_object().context("no programs")?.keys().collect();
    ensure!(names == ["/app/job.py", "/usr/bin/python3"], "{names:?}");
    outputs.push(checkpointed(&pod)?);
    ensure!(programs(&volume)? == first, "they changed");
    chain::verify(&outputs).map(drop)
}

#[test]
fn a_file_on_a_volume_is_no_program() -> Result<()> {
    let volume = Volume::new()?;
    checkpointed(&Pod::new(&volume, "node-a", &SINGLE))?;
    let programs = programs(&volume)?;
    let names: Vec<&String> = programs.as_object().context("no programs")?.keys().collect();
    ensure!(names == ["/usr/bin/python3"], "{names:?}");
    Ok(())
}

/// Changes a file of a generation so that only CRIU can notice.
fn forge(generation: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
    let path = generation.join(name);
    let mut bytes = fs::read(&path)?;
    change(&mut bytes);
    fs::write(&path, &bytes)?;
    let mut manifest = Volume::manifest(generation)?;
    manifest["files"][name] = json!({"size": bytes.len(), "blake3": blake3::hash(&bytes).to_hex().as_str()});
    Volume::put_manifest(generation, &manifest)
}

/// CRIU's images begin with two magic numbers and the size of the message.
const MESSAGE: usize = 12;

/// A message of protocol buffers in which the `nth` field of this tag, a number, is another one; the outer message has one
/// field only, which holds it.
fn replace_number(image: &mut Vec<u8>, tag: u8, nth: usize, change: impl FnOnce(u64) -> u64) -> Option<()> {
    let mut at = MESSAGE + 1;
    read_number(image, &mut at)?;
    let mut left = nth;
    loop {
        let found = *image.get(at)?;
        at += 1;
        let from = at;
        let number = read_number(image, &mut at)?;
        if found & 7 == 2 {
            at += usize::try_from(number).ok()?;
        } else if found == tag && left == 0 {
            image.splice(from..at, encode(change(number)));
            break;
        } else if found == tag {
            left -= 1;
        }
    }
    let mut inner = MESSAGE + 1;
    read_number(image, &mut inner)?;
    let body = image.split_off(inner);
    image.truncate(MESSAGE + 1);
    image.extend(encode(body.len() as u64));
    image.extend(body);
    let size = u32::try_from(image.len() - MESSAGE).ok()?;
    image[MESSAGE - 4..MESSAGE].copy_from_slice(&size.to_le_bytes());
    Some(())
}

fn read_number(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
}

fn encode(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// Tags of CRIU's images/cpuinfo.proto.
const CAPABILITY: u8 = 6 << 3;
const XSAVE_SIZE: u8 = 9 << 3;

/// In the capabilities, the word that CPUID gives in ECX for leaf 1: SSE3, AES, AVX and their like.
const LEAF_1_ECX: usize = 4;

/// Expects that an image of a CPU that differs by `change` is tried once a start, and the application runs in any case.
fn another_cpu(tag: u8, nth: usize, change: fn(u64) -> u64, reason: &str) -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config("maxRestores: 2");
    checkpointed(&pod)?;
    let mut forged = None;
    forge(&volume.newest("job-0")?, "criu/cpuinfo.img", |image| {
        forged = replace_number(image, tag, nth, change)
    })?;
    forged.context("there is no such field")?;
    for reason in [reason, reason, "it was resumed 2 times (maxRestores)"] {
        let mut running = started(&pod)?;
        starts_fresh(&running)?;
        running.stderr.wait_for(reason).with_context(|| running.transcript())?;
        running.signal(Signal::SIGKILL)?;
        running.wait()?;
    }
    Ok(())
}

#[test]
fn an_image_that_needs_instructions_which_this_cpu_lacks_starts_fresh_and_is_given_up() -> Result<()> {
    another_cpu(CAPABILITY, LEAF_1_ECX, |_| 0xffff_ffff, "this CPU lacks instructions that the image needs")
}

#[test]
fn an_image_of_a_cpu_with_another_register_layout_starts_fresh_and_is_given_up() -> Result<()> {
    another_cpu(XSAVE_SIZE, 0, |size| size + 64, "this CPU lays its registers out in another way")
}

#[test]
fn an_image_of_a_cpu_with_fewer_instructions_is_resumed() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    let first = checkpointed(&pod)?;
    let mut forged = None;
    forge(&volume.newest("job-0")?, "criu/cpuinfo.img", |image| {
        forged = replace_number(image, CAPABILITY, LEAF_1_ECX, |word| word & !(1 << 28));
    })?;
    forged.context("there is no such field")?;
    let second = started(&pod)?;
    resumes(&second, 1)?;
    chain::verify(&[first, second.stdout.text()]).map(drop)
}

#[test]
fn a_generation_without_a_word_on_its_cpu_or_programs_is_resumed() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    let first = checkpointed(&pod)?;
    let generation = volume.newest("job-0")?;
    fs::remove_file(generation.join("criu/cpuinfo.img"))?;
    let mut manifest = Volume::manifest(&generation)?;
    manifest["files"].as_object_mut().context("no files")?.remove("criu/cpuinfo.img");
    manifest["identity"].as_object_mut().context("no identity")?.remove("programs");
    Volume::put_manifest(&generation, &manifest)?;
    let second = started(&pod)?;
    resumes(&second, 1)?;
    chain::verify(&[first, second.stdout.text()]).map(drop)
}

#[test]
fn a_library_that_was_changed_is_named() -> Result<()> {
    let volume = Volume::new()?;
    let pod = |release: &str| {
        let script = format!(
            "cp /usr/lib/x86_64-linux-gnu/libz.so.1 /checkpoints/ && printf '{release}' >> /checkpoints/libz.so.1 && \
             exec crik run -- python3 /programs/single.py"
        );
        Pod::new(&volume, "node-a", &[]).with(|spec| {
            spec.command(&["sh", "-c", &script], &[]);
            spec.env("LD_PRELOAD", "");
            spec.env("LD_LIBRARY_PATH", "/checkpoints");
        })
    };
    checkpointed(&pod("1"))?;
    let second = started(&pod("22"))?;
    starts_fresh(&second)?;
    let named = "/checkpoints/libz.so.1, which the program runs, was changed since; put it back as it was";
    second.stderr.wait_for(named).with_context(|| second.transcript())
}
