//! What of its environment a program gets from crik: by it a language's runtime leaves out what CRIU cannot freeze.

use std::env;
use std::ffi::{OsStr, OsString};

use crate::config::Config;

/// Where Go's runtime reads its settings (pkg.go.dev/runtime, "Environment Variables").
pub const GODEBUG: &str = "GODEBUG";

/// Go listens by MPTCP since 1.24 where the kernel has it (go.dev/doc/go1.24, net), of which CRIU knows nothing.
const MULTIPATH_TCP: &str = "multipathtcp";

/// What Go is told in place of the container's own setting; none if that stays as it is.
pub fn godebug(config: &Config) -> Option<OsString> {
    in_place_of(env::var_os(GODEBUG).as_deref(), config)
}

fn in_place_of(before: Option<&OsStr>, config: &Config) -> Option<OsString> {
    if config.multipath_tcp || config.image_dir.is_none() {
        return None;
    }
    let before = before.unwrap_or_default();
    if is_set(before) {
        return None;
    }
    let mut all = before.to_owned();
    if !all.is_empty() {
        all.push(",");
    }
    all.push(MULTIPATH_TCP);
    all.push("=0");
    Some(all)
}

/// Whether somebody has decided already.
fn is_set(settings: &OsStr) -> bool {
    let settings = settings.to_string_lossy();
    settings.split(',').any(|one| one.split('=').next() == Some(MULTIPATH_TCP))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(before: &str) -> Option<OsString> {
        let config = Config { image_dir: Some("/checkpoints".into()), ..Config::default() };
        in_place_of(Some(OsStr::new(before)), &config)
    }

    #[test]
    fn what_is_set_stays_and_the_rest_is_added() {
        assert_eq!(told("").unwrap(), "multipathtcp=0");
        assert_eq!(told("gctrace=1").unwrap(), "gctrace=1,multipathtcp=0");
        assert_eq!(told("gctrace=1,multipathtcp=2"), None);
    }

    #[test]
    fn a_program_that_is_never_frozen_is_left_alone() {
        assert_eq!(in_place_of(None, &Config::default()), None);
        let wants =
            Config { multipath_tcp: true, image_dir: Some("/checkpoints".into()), ..Config::default() };
        assert_eq!(in_place_of(None, &wants), None);
    }
}
