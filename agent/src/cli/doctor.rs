//! `crik doctor`: whether the program of this container could go on elsewhere, and what is in the way.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use anyhow::Result;

use super::args::Doctor;
use super::{trial, trial_pod};
use crate::base::output::print;
use crate::base::table::table;
use crate::base::{exit_codes, limits};
use crate::config::Config;
use crate::doctor::descriptors::{Descriptor, Fate};
use crate::doctor::examination::{Examination, Fact, Program, configured, examine};
use crate::doctor::finding::{Finding, Severity};
use crate::supervise;
use crate::supervise::control_socket::{self, Answer, LookRequest};
use crate::supervise::known::Known;
use crate::tree::criu;
use crik_store::image_dir::buckets;

/// Looks, and prints what is seen. Returns the exit code, which tells how bad it is.
///
/// # Errors
/// The configuration is wrong, or nobody can be told.
pub fn doctor(args: &Doctor) -> Result<i32> {
    // SAFETY: no other thread runs yet.
    unsafe { criu::prepare_environment() };
    if args.trial {
        return try_out(args);
    }
    let config = Config::load(&args.config_path)?;
    let known = if args.pid.is_some() { None } else { ask() };
    let program = program(args, known.as_ref());
    let standing = known.as_ref().and_then(|known| known.stands_still_seconds).map(standing);
    let (image_dir, findings) =
        known.map_or_else(Default::default, |known| (known.image_dir, known.findings));
    let config = configured(config, args.image_dir.clone().or(image_dir));
    config.image_dir.iter().for_each(|path| buckets::connect(path, &std::env::temp_dir()));
    let mut examination = examine(&config, program.as_ref(), findings);
    examination.facts.extend(standing);
    print(args.output, &examination, told)?;
    Ok(exit_code(&examination))
}

/// Has the agent try it, and prints what that has shown.
fn try_out(args: &Doctor) -> Result<i32> {
    if args.manifest {
        return trial_pod::print_manifest(args);
    }
    let tried = trial::ask(false)?;
    print(args.output, &tried, supervise::trial::told)?;
    Ok(trial::exit_code(tried.shown))
}

/// The agent of this container, if it answers. It may be busy with the end of all, for which it is not to be held up.
fn ask() -> Option<Known> {
    let mut stream = control_socket::address().and_then(|address| UnixStream::connect_addr(&address)).ok()?;
    stream.set_read_timeout(Some(limits::CONTROL_PATIENCE)).ok()?;
    let request = serde_json::to_string(&LookRequest { look: true }).ok()?;
    writeln!(stream, "{request}").ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    match serde_json::from_str(&line).ok()? {
        Answer::Known(known) => Some(*known),
        _ => None,
    }
}

fn standing(seconds: u64) -> Fact {
    let is = format!(
        "stands still after a checkpoint until its pod is ended; in {seconds} s it goes on if nobody does that"
    );
    Fact { of: "program", is }
}

fn program(args: &Doctor, known: Option<&Known>) -> Option<Program> {
    let not_under_crik = args.pid.map(|root| Program { root, ..Program::default() });
    not_under_crik.or_else(|| {
        known.map(|known| Program {
            root: known.root,
            agent: Some(known.agent),
            library: known.library.clone(),
            own: known.own.clone(),
            since: Some(known.since),
        })
    })
}

fn exit_code(examination: &Examination) -> i32 {
    match examination.findings.iter().map(|one| one.severity).max() {
        None => 0,
        Some(Severity::Warning) => exit_codes::WARNED,
        Some(Severity::NotProtected) => exit_codes::NOT_PROTECTED,
    }
}

fn told(examination: &Examination) -> String {
    let mut text = format!("{}\n\n", examination.verdict.told);
    text +=
        &table(&["OF", "IS"], examination.facts.iter().map(|fact| vec![fact.of.to_owned(), fact.is.clone()]));
    if !examination.findings.is_empty() {
        text += &format!(
            "\n{}",
            table(&["SEVERITY", "", "FOUND"], examination.findings.iter().flat_map(finding))
        );
    }
    text + &descriptors(&examination.descriptors)
}

/// What, why, and what to do: a person may read nothing else of it.
fn finding(finding: &Finding) -> Vec<Vec<String>> {
    let severity = match finding.severity {
        Severity::NotProtected => "NOT PROTECTED",
        Severity::Warning => "warning",
    };
    let line = |of: &str, is: String| [of.to_owned(), is];
    let mut lines = vec![line("what", finding.what.clone()), line("why", finding.why.clone())];
    lines.extend(finding.remedy.iter().map(|remedy| line("do", remedy.clone())));
    lines.extend(finding.edits.iter().map(|edit| line("write", edit.to_string())));
    let heads = std::iter::once(severity).chain(std::iter::repeat(""));
    heads.zip(lines).map(|(head, [of, is])| vec![head.to_owned(), of, is]).collect()
}

/// Those of which something is to be said.
fn descriptors(all: &[Descriptor]) -> String {
    let mut told: Vec<&Descriptor> = all.iter().filter(|one| one.fate != Fate::Kept).collect();
    told.sort_by_key(|one| (one.fate, one.pid, one.fd));
    let row = |one: &&Descriptor| {
        let fd = one.fd.map_or_else(|| "-".to_owned(), |fd| fd.to_string());
        let remedy = one.remedy.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            one.pid.to_string(),
            one.process.clone(),
            fd,
            one.fate.name().to_owned(),
            one.what.clone(),
            remedy,
        ]
    };
    let kept = match all.len() - told.len() {
        0 => String::new(),
        kept => format!("{kept} more descriptors are kept as they are; --output json shows them\n"),
    };
    if told.is_empty() {
        return kept;
    }
    format!("\n{}{kept}", table(&["PID>", "PROCESS", "FD>", "FATE", "WHAT", "REMEDY"], told.iter().map(row)))
}
