#!/bin/sh
# Runs each fuzz target for some seconds. With cargo-fuzz and a nightly toolchain `cargo fuzz run NAME` finds more, by the
# help of sanitizers; this is for a stable toolchain, whose compiler gives the coverage alone, and needs a C++ compiler.
set -eu
cd "$(dirname "$0")"

seconds=${1:-30}
command -v c++ > /dev/null || { echo "fuzzing needs a C++ compiler: apt-get install g++" >&2; exit 1; }
host=$(rustc --print host-tuple)
coverage=$(mktemp -d)
trap 'rm -rf "$coverage"' EXIT
flags='--cfg fuzzing -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4'
flags="$flags -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table"
RUSTFLAGS="$flags" cargo build --release --quiet --locked --target "$host"
for target in fuzz_targets/*.rs; do
    name=$(basename "$target" .rs)
    if "target/$host/release/$name" -max_total_time="$seconds" -artifact_prefix="$coverage/" > "$coverage/log" 2>&1; then
        echo "$name: $(tail -n 1 "$coverage/log")"
    else
        echo "$name: it broke; the input is in base64 below" >&2
        tail -n 20 "$coverage/log" >&2
        exit 1
    fi
done
