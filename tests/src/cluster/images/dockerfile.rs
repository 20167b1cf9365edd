//! Reads Dockerfiles, in the part of their language that ours use.

use anyhow::{Context as _, Result, bail, ensure};

/// One `FROM` and what follows.
#[derive(Debug, PartialEq, Eq)]
pub struct Stage {
    /// The image that it begins with.
    pub base: String,
    /// What later stages call it.
    pub name: Option<String>,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// Has BuildKit look at a stage when it writes the image's bill of materials (docs/attestations/sbom.md of moby/buildkit).
pub const SCANNED: &str = "BUILDKIT_SBOM_SCAN_STAGE=true";

/// One instruction.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Files of the context, of another stage or of another image.
    Copy {
        /// The stage or image; none for the context.
        from: Option<String>,
        /// What is copied.
        sources: Vec<String>,
        /// Where it goes; a directory if it ends in a slash or there are several sources.
        to: String,
    },
    /// [`SCANNED`], which changes nothing in the image.
    Scanned,
    /// What commands find in the environment, and `docker build --build-arg` changes.
    Argument(String, String),
    /// A command for the shell.
    Run(String),
    /// The directory that commands run in.
    Workdir(String),
    /// An environment variable.
    Env(String, String),
    /// Who the program runs as.
    User(String),
    /// A port that the program listens on.
    Expose(String),
    /// The program.
    Entrypoint(Vec<String>),
    /// Its arguments, or the program if there is no entry point.
    Cmd(Vec<String>),
}

/// Reads all stages.
///
/// # Errors
/// It has an instruction that is not known here, or one in a form that is not; the message names it.
pub fn parse(text: &str) -> Result<Vec<Stage>> {
    let mut stages: Vec<Stage> = Vec::new();
    for line in lines(text) {
        let (word, rest) = line.split_once(char::is_whitespace).with_context(|| line.clone())?;
        if word == "FROM" {
            stages.push(stage(rest)?);
        } else {
            let stage = stages.last_mut().with_context(|| format!("before the first FROM: {line}"))?;
            stage.steps.push(step(word, rest.trim()).with_context(|| line.clone())?);
        }
    }
    ensure!(!stages.is_empty(), "there is no FROM");
    Ok(stages)
}

/// Whole instructions, without comments, and with continued lines joined.
fn lines(text: &str) -> Vec<String> {
    let mut whole = Vec::new();
    let mut begun = String::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        match line.trim_end().strip_suffix('\\') {
            Some(part) => begun += part,
            None => whole.push(std::mem::take(&mut begun) + line.trim_end()),
        }
    }
    whole.retain(|line| !line.trim().is_empty());
    whole
}

fn stage(rest: &str) -> Result<Stage> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (base, name) = match words[..] {
        [base] => (base, None),
        [base, "AS", name] => (base, Some(name.to_owned())),
        _ => bail!("FROM {rest}: not known here"),
    };
    Ok(Stage { base: base.to_owned(), name, steps: Vec::new() })
}

fn step(word: &str, rest: &str) -> Result<Step> {
    Ok(match word {
        "COPY" => copy(rest)?,
        "ARG" if rest == SCANNED => Step::Scanned,
        "RUN" => Step::Run(rest.to_owned()),
        "WORKDIR" => Step::Workdir(rest.to_owned()),
        "ARG" => {
            let (name, value) = assignment(rest)?;
            Step::Argument(name, value)
        }
        "ENV" => {
            let (name, value) = assignment(rest)?;
            Step::Env(name, value)
        }
        "USER" => Step::User(rest.to_owned()),
        "EXPOSE" => Step::Expose(rest.to_owned()),
        "ENTRYPOINT" => {
            Step::Entrypoint(serde_json::from_str(rest).context("only the form of a list is known")?)
        }
        "CMD" => Step::Cmd(serde_json::from_str(rest).context("only the form of a list is known")?),
        _ => bail!("{word} is not known here"),
    })
}

fn assignment(rest: &str) -> Result<(String, String)> {
    let (name, value) = rest.split_once('=').context("without =")?;
    Ok((name.to_owned(), value.trim_matches('"').to_owned()))
}

fn copy(rest: &str) -> Result<Step> {
    let mut words: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
    let first = words.first().context("COPY of nothing")?;
    let from = first.strip_prefix("--from=").map(str::to_owned);
    ensure!(from.is_some() || !first.starts_with("--"), "{first} is not known here");
    if from.is_some() {
        words.remove(0);
    }
    let to = words.pop().context("COPY of nothing")?;
    ensure!(!words.is_empty(), "COPY of nothing");
    Ok(Step::Copy { from, sources: words, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_continued_lines_and_comments() {
        let text = "# what\nFROM a AS b\nRUN one \\\n # not this\n && two\n\nFROM scratch\nCOPY --from=b /x /y /z/\n";
        let expected = [
            Stage { base: "a".into(), name: Some("b".into()), steps: vec![Step::Run("one  && two".into())] },
            Stage {
                base: "scratch".into(),
                name: None,
                steps: vec![Step::Copy {
                    from: Some("b".into()),
                    sources: vec!["/x".into(), "/y".into()],
                    to: "/z/".into(),
                }],
            },
        ];
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn what_is_not_known_is_an_error_that_names_it() {
        for (text, named) in [
            ("RUN x", "RUN x"),
            ("FROM a\nVOLUME /x", "VOLUME"),
            ("FROM a\nCOPY --chmod=1 a b", "--chmod=1"),
            ("FROM a\nENTRYPOINT sh", "ENTRYPOINT sh"),
            ("FROM a\nARG x", "ARG x: without ="),
            ("", "no FROM"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }
}
