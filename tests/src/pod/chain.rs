//! Checks the chain of steps that the test programs write (see `programs/steps.py`).

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest, Sha256};

/// Checks that the outputs of a pod and of its successors form one chain, in which no step is lost or repeated. Returns
/// the number of steps.
///
/// # Errors
/// They do not; the message names the first step that is wrong.
pub fn verify(outputs: &[String]) -> Result<u64> {
    let text = outputs.concat();
    let mut lines = text.lines().filter(|line| line.starts_with("begin ") || line.starts_with("step "));
    let seed =
        lines.next().and_then(|line| line.strip_prefix("begin ")).context("the chain has no beginning")?;
    let mut hash = hex(Sha256::digest(seed));
    let mut last = 0;
    for line in lines {
        let (number, token, claimed) = parse(line).with_context(|| format!("after step {last}: {line:?}"))?;
        ensure!(number == last + 1, "step {number} follows step {last}");
        hash = hex(Sha256::digest(hash + token));
        ensure!(hash == claimed, "step {number} has another hash than its predecessors give");
        last = number;
    }
    ensure!(!text.contains("altered"), "the program found its memory altered");
    Ok(last)
}

/// Checks that `after` goes on from a state that `before` had passed through, as after a node loss: what came later is done
/// again.
///
/// # Errors
/// It does not.
pub fn verify_repeated(before: &str, after: &str) -> Result<u64> {
    let first = after.lines().find_map(parse).context("the successor made no step")?.0;
    let kept = before.lines().filter(|line| parse(line).is_none_or(|(number, ..)| number < first));
    let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
    verify(&[kept, after.to_owned()])
}

fn parse(line: &str) -> Option<(u64, &str, &str)> {
    let mut words = line.strip_prefix("step ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?, words.next()?))
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(steps: u64) -> Vec<String> {
        let mut hash = hex(Sha256::digest("seed"));
        let mut lines = vec!["begin seed\n".to_owned()];
        for number in 1..=steps {
            hash = hex(Sha256::digest(hash + "t"));
            lines.push(format!("step {number} t {hash}\n"));
        }
        lines
    }

    #[test]
    fn steps_that_are_done_again_must_follow_from_what_was_kept() {
        let (before, whole) = (chain(5).concat(), chain(9));
        assert_eq!(verify_repeated(&before, &whole[4..].concat()).unwrap(), 9);
        assert!(verify_repeated(&before, &whole[7..].concat()).is_err());
        assert!(verify_repeated(&before, "").is_err());
    }

    #[test]
    fn a_step_that_is_lost_repeated_or_changed_is_found() {
        assert_eq!(verify(&chain(5)).unwrap(), 5);
        let mut lost = chain(5);
        lost.remove(3);
        let mut repeated = chain(5);
        repeated.insert(4, repeated[4].clone());
        let mut changed = chain(5);
        changed[2] = changed[2].replace(" t ", " u ");
        let mut restarted = chain(5);
        restarted.extend(chain(2));
        for broken in [lost, repeated, changed, restarted] {
            assert!(verify(&broken).is_err());
        }
    }
}
