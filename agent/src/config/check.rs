//! What no start could work with, each with what would be right. Pure, but for links in the name of the token's file.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crik_api::NodeState;
use crik_store::image_dir::buckets;

use super::parse_url;
use super::problem::Problem;
use super::{ActOn, Config, Format, Hook, Hooks, OnFailure};
use crate::base::limits;

impl Config {
    pub(super) fn check(&self) -> Result<(), Problem> {
        let wrong = |key, problem: &str| Err(Problem::Value(key, problem.to_owned()));
        if self.image_dir.as_ref().is_some_and(|dir| !dir.is_absolute() && !buckets::is_address(dir)) {
            return wrong(
                "imageDir",
                "must be an absolute path or an address in a bucket, such as /checkpoints/${POD_NAME} or \
                 s3://bucket/checkpoints/${POD_NAME}",
            );
        }
        if let Some(address) = self.image_dir.as_deref().filter(|dir| buckets::is_address(dir))
            && let Err(error) = buckets::check(address)
        {
            return wrong("imageDir", &error.to_string());
        }
        if self.format == Some(Format::Plain) && self.volume().is_none() && self.image_dir.is_some() {
            return wrong("format", "must not be plain where imageDir is in a bucket, which keeps chunks");
        }
        if self.image_dir.as_ref().is_some_and(|dir| !is_plain(dir)) {
            return wrong("imageDir", "must not be / nor have .. in it");
        }
        if self.additional_paths.iter().chain(&self.inotify_incompatible_paths).any(|p| !p.is_absolute()) {
            return wrong("additionalPaths, inotifyIncompatiblePaths", "every path must be absolute");
        }
        self.check_additional_paths()?;
        self.carry.check()?;
        self.check_access()?;
        if self.keep_generations == 0 {
            return wrong("keepGenerations", "must be at least 1, or no checkpoint could be resumed");
        }
        if self.signing_key_file.as_ref().is_some_and(|path| !path.is_absolute()) {
            return wrong("signingKeyFile", "must be an absolute path, such as /etc/crik-key/key");
        }
        if self.signing_key_file.is_none() && !self.accepted_key_files.is_empty() {
            return wrong("acceptedKeyFiles", "must not be set without signingKeyFile, which signs");
        }
        if self.accepted_key_files.iter().any(|path| !path.is_absolute()) {
            return wrong("acceptedKeyFiles", "every path must be absolute");
        }
        if self.signing_key_file.is_some() && !self.verify_hashes {
            return wrong(
                "verifyHashes",
                "must not be false with signingKeyFile: a signature vouches for hashes",
            );
        }
        self.check_encryption()?;
        if self.release.as_ref().is_some_and(String::is_empty) {
            return wrong(
                "release",
                "must not be empty; leave it out if releases are not to be told apart by it",
            );
        }
        if self.max_restores == 0 {
            return wrong(
                "maxRestores",
                "must be at least 1; leave imageDir out if nothing is ever to be resumed",
            );
        }
        if self.checkpoint_on.nodes.contains(&NodeState::Unknown) {
            return wrong("checkpointOn", "unknown is not for this list; see onUnknown");
        }
        if self.grace_period > limits::GRACE_PERIOD_MAX {
            return wrong("gracePeriod", "must be at most a day");
        }
        if self.claim_expiry < limits::HOLD_EXPIRY_MIN {
            return wrong(
                "claimExpiry",
                "must be at least 1s, or a busy volume looks like a pod that is gone",
            );
        }
        if self.interval.is_some_and(|interval| interval < limits::INTERVAL_MIN) {
            return wrong("interval", "must be at least 1s; leave it out for no periodic checkpoints");
        }
        if self.restore_timeout.is_zero() || self.volume_timeout.is_zero() {
            return wrong("restoreTimeout, volumeTimeout", "must be longer than 0s");
        }
        if self.warm_up_rate < limits::WARM_UP_RATE_MIN {
            return wrong("warmUpRate", "must be at least 1MB; set warmUp: off for none");
        }
        if self.max_pause.is_zero() {
            return wrong(
                "maxPause",
                "must be longer than 0s; leave interval out for no periodic checkpoints",
            );
        }
        if self.reserve.saturating_add(self.decision_timeout) >= self.grace_period {
            return wrong("gracePeriod", "must be longer than reserve and decisionTimeout together");
        }
        if self.exit_code.checkpointed == 0 {
            return wrong(
                "exitCode.checkpointed",
                "must not be 0, or a Job counts a pod as done whose work is only frozen, and nothing goes on; \
                 leave it out for 143",
            );
        }
        self.check_act_on()?;
        self.hooks.check(self.grace_period - self.reserve - self.decision_timeout)
    }
}

impl Config {
    /// What the next start would refuse, or what would copy itself.
    fn check_additional_paths(&self) -> Result<(), Problem> {
        let wrong = |problem: &str| Err(Problem::Value("additionalPaths", problem.to_owned()));
        if !self.additional_paths.iter().all(|path| is_plain(path)) {
            return wrong("no path may be / or have .. in it");
        }
        let holds = |dir: &PathBuf| self.additional_paths.iter().any(|path| dir.starts_with(path));
        if self.image_dir.as_ref().is_some_and(holds) {
            return wrong("must not hold imageDir: the checkpoint would be kept in itself");
        }
        let image_dir = self.image_dir.as_deref();
        if image_dir.is_some_and(|dir| self.additional_paths.iter().any(|path| path.starts_with(dir))) {
            return wrong(
                "must not lie in imageDir: what is there is crik's, and the next pod has it anyway",
            );
        }
        Ok(())
    }

    fn check_encryption(&self) -> Result<(), Problem> {
        let wrong = |problem: &str| Err(Problem::Value("encryptionKeyFile", problem.to_owned()));
        let Some(path) = &self.encryption_key_file else {
            return Ok(());
        };
        if !path.is_absolute() {
            return wrong("must be an absolute path, such as /etc/crik-encryption/keys");
        }
        if self.image_dir.as_ref().is_some_and(|dir| path.starts_with(dir)) {
            return wrong("must not lie in imageDir: who can read a checkpoint there could read its key");
        }
        if self.format == Some(Format::Plain) {
            return Err(Problem::Value(
                "format",
                "must not be plain with encryptionKeyFile: what CRIU writes by itself is not encrypted"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn check_access(&self) -> Result<(), Problem> {
        let wrong = |key, problem: &str| Err(Problem::Value(key, problem.to_owned()));
        let (token, ca) = (&self.node_state_server_token_file, &self.node_state_server_ca_file);
        let relative = |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| !path.is_absolute());
        if relative(token) {
            return wrong(
                "nodeStateServerTokenFile",
                "must be an absolute path, such as /var/run/crik/token",
            );
        }
        if relative(ca) {
            return wrong("nodeStateServerCAFile", "must be an absolute path, such as /etc/crik-ca/ca.crt");
        }
        if token.as_ref().is_some_and(|path| lies_in(path, &limits::API_SERVER_TOKEN)) {
            let problem =
                "the ServiceAccount's own token is for the API server; mount one with the audience crik";
            return wrong("nodeStateServerTokenFile", problem);
        }
        let Some(url) = &self.node_state_server_url else {
            return match (token, ca) {
                (Some(_), _) => {
                    wrong("nodeStateServerTokenFile", "must not be set without nodeStateServerURL")
                }
                (_, Some(_)) => wrong("nodeStateServerCAFile", "must not be set without nodeStateServerURL"),
                _ => Ok(()),
            };
        };
        let url = parse_url(url).map_err(|problem| Problem::Value("nodeStateServerURL", problem))?;
        if ca.is_some() && url.scheme() != "https" {
            return wrong("nodeStateServerCAFile", "is of use only with https:// in nodeStateServerURL");
        }
        Ok(())
    }

    fn check_act_on(&self) -> Result<(), Problem> {
        let wrong = |problem: &str| Err(Problem::Value("actOn", problem.to_owned()));
        if self.act_on == ActOn::Sigterm {
            return Ok(());
        }
        if self.node_state_server_url.is_none() {
            return wrong("must not be notice without nodeStateServerURL: nobody would give notice");
        }
        if self.image_dir.is_none() {
            return wrong("must not be notice without imageDir: nothing could be checkpointed");
        }
        if self.checkpoint_on.notice().is_empty() {
            return wrong("is notice, so checkpointOn must have draining, shutting-down or gone");
        }
        Ok(())
    }
}

/// A path below `/` that does not go up.
fn is_plain(path: &Path) -> bool {
    path.parent().is_some() && path.components().skip(1).all(|part| matches!(part, Component::Normal(_)))
}

/// Whether `path` lies in one of `directories`, by its name or by where it leads.
fn lies_in(path: &Path, directories: &[&str]) -> bool {
    let is_in = |path: &Path| directories.iter().any(|directory| path.starts_with(directory));
    is_in(path) || path.canonicalize().is_ok_and(|real| is_in(&real))
}

impl Hooks {
    fn check(&self, left: Duration) -> Result<(), Problem> {
        let wrong = |key, problem: &str| Err(Problem::Value(key, problem.to_owned()));
        let empty = |hook: &Option<Hook>| hook.as_ref().is_some_and(|hook| hook.command.is_empty());
        if empty(&self.pre_checkpoint) || empty(&self.post_checkpoint) || empty(&self.post_restore) {
            return wrong("hooks", "command must have at least the program, such as [/bin/sync]");
        }
        if self.post_checkpoint.as_ref().is_some_and(|hook| hook.on_failure == OnFailure::Fail) {
            return wrong(
                "hooks.postCheckpoint.onFailure",
                "must not be fail: the application goes on, and nothing is left that could fail",
            );
        }
        if self.pre_checkpoint.as_ref().is_some_and(|hook| hook.timeout >= left) {
            return wrong(
                "hooks.preCheckpoint.timeout",
                "must be shorter than gracePeriod less reserve and decisionTimeout, or no checkpoint could follow",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_known_by_its_name_and_by_where_it_leads() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().canonicalize().unwrap();
        let secrets = dir.join("secrets");
        std::fs::create_dir(&secrets).unwrap();
        std::fs::create_dir(dir.join("crik")).unwrap();
        std::fs::write(secrets.join("token"), "t").unwrap();
        symlink(secrets.join("token"), dir.join("link")).unwrap();
        std::fs::write(dir.join("other"), "t").unwrap();
        let lies = |path: PathBuf| lies_in(&path, &[secrets.to_str().unwrap()]);
        assert!(lies(secrets.join("token")) && lies(secrets.join("not-there")));
        assert!(lies(dir.join("link")) && lies(dir.join("crik/../secrets/token")));
        assert!(!lies(dir.join("other")) && !lies(dir.join("not-there")));
    }
}
