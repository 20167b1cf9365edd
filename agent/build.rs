//! Compiles `init/init.rs`, which the agent carries as bytes.
//!
//! It is built here and not as a crate, since it has no runtime to link and stable cargo cannot make one crate's
//! program another one's data.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=init/init.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("init");
    let status = rustc(&out).status().expect("cargo sets RUSTC to a compiler that runs");
    assert!(status.success(), "cannot compile init/init.rs: {status}");
}

fn rustc(out: &PathBuf) -> Command {
    let mut rustc = Command::new(env::var_os("RUSTC").expect("cargo sets RUSTC"));
    rustc.args(["--edition", "2024", "--crate-name", "init", "--crate-type", "bin", "-D", "warnings"]);
    rustc.args(["--target", &env::var("TARGET").expect("cargo sets TARGET")]);
    rustc.args(["-C", "panic=abort", "-C", "relocation-model=static", "-C", "strip=symbols"]);
    rustc.args(["-C", &format!("opt-level={}", opt_level())]);
    // CRIU compares build ids before it maps a file at restore.
    for arg in ["-nostdlib", "-nostartfiles", "-static", "-no-pie", "-Wl,--build-id=sha1"] {
        rustc.args(["-C", &format!("link-arg={arg}")]);
    }
    rustc.arg("-o").arg(out).arg("init/init.rs");
    rustc
}

/// Two builds of the agent with two different inits, for the test that one restores what the other dumped.
fn opt_level() -> &'static str {
    if env::var_os("CARGO_FEATURE_OTHER_BUILD").is_some() { "2" } else { "s" }
}
