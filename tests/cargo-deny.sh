#!/bin/sh
# Checks licences, sources and banned crates. Installs the tool by cargo if it is missing; that takes some minutes once.
# Advisories need the RustSec database, which no package registry has: ADVISORIES=1 fetches it and checks them too.
set -eu
cd "$(dirname "$0")/.."

if ! cargo deny --version > /dev/null 2>&1; then
    cargo install --locked --quiet cargo-deny
fi
cargo deny --all-features check bans licenses sources
if [ -n "${ADVISORIES:-}" ]; then
    cargo deny --all-features check advisories
fi
