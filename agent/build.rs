//! Compiles what the agent carries as bytes: the init's program (`init/init.rs`), and the libraries that the tree's programs
//! (`preload/clocks.rs`) and CRIU (`preload/criu.rs`, `preload/criu_restore.rs`) are preloaded with.
//!
//! They are built here and not as crates, since they have no runtime to link and stable cargo cannot make one crate's
//! program another one's data.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    compile("init/init.rs", "init", &INIT);
    // A directory: all of its files.
    println!("cargo::rerun-if-changed=preload");
    // A table of relocations of a few KiB instead of 400, of a program that is copied into every image; the C library that goes with it can
    // read it (glibc 2.36). A linker that cannot write it says so, and writes the other one.
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    compile("preload/clocks.rs", "clocks.so", &LIBRARY);
    compile("preload/criu.rs", "criu.so", &LIBRARY);
    compile("preload/criu_restore.rs", "criu_restore.so", &LIBRARY);
}

/// A program without a C library, at a fixed address.
const INIT: [&str; 11] = [
    "--crate-type=bin",
    "-Crelocation-model=static",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-static",
    "-Clink-arg=-no-pie",
    "-Clink-arg=-Wl,--build-id=sha1",
    "-Cpanic=abort",
    "-Cstrip=symbols",
    "-Dwarnings",
    "--edition=2024",
];

/// A library that needs none. A thread that is cancelled in a wait is unwound through its functions.
const LIBRARY: [&str; 10] = [
    "--crate-type=cdylib",
    "-Ctarget-feature=-crt-static",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-Wl,--build-id=sha1",
    "-Cforce-unwind-tables=yes",
    "-Cpanic=abort",
    "-Cstrip=symbols",
    "-Dwarnings",
    "--edition=2024",
];

/// Each has a build id, which CRIU compares before it maps a file at restore.
fn compile(source: &str, name: &str, options: &[&str]) {
    println!("cargo::rerun-if-changed={source}");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join(name);
    let mut rustc = Command::new(env::var_os("RUSTC").expect("cargo sets RUSTC"));
    rustc.args(["--target", &env::var("TARGET").expect("cargo sets TARGET")]);
    // Cargo tells it where one is configured, as for another architecture.
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={}", linker.display()));
    }
    rustc.args(options).arg(format!("-Copt-level={}", opt_level())).arg("-o").arg(out).arg(source);
    let status = rustc.status().expect("cargo sets RUSTC to a compiler that runs");
    assert!(status.success(), "cannot compile {source}: {status}");
}

/// Two builds of the agent with two different inits and libraries, for the test that one restores what the other dumped.
fn opt_level() -> &'static str {
    if env::var_os("CARGO_FEATURE_OTHER_BUILD").is_some() { "2" } else { "s" }
}
