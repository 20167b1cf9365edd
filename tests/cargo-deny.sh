#!/bin/sh
# Checks licences, sources and banned crates. Installs the tool by cargo if it is missing; that takes some minutes once.
# Advisories need the RustSec database, which no package registry has: ADVISORIES=1 fetches it and checks them too;
# ADVISORIES=DIRECTORY takes a clone of it that is there already (github.com/rustsec/advisory-db), for who has no way to it.
set -eu
cd "$(dirname "$0")/.."

if ! cargo deny --version > /dev/null 2>&1; then
    cargo install --locked --quiet cargo-deny
fi
cargo deny --all-features check bans licenses sources
case ${ADVISORIES:-} in
'') ;;
1) cargo deny --all-features check advisories ;;
*)
    databases=$(mktemp -d)
    trap 'rm -rf "$databases"' EXIT
    # The name that cargo-deny gives to the clone of its default URL. Its age is what FETCH_HEAD says, which only a fetch writes: here
    # it is that of what was cloned.
    clone=$databases/advisory-db-3157b0e258782691
    git clone --quiet "$ADVISORIES" "$clone"
    git -C "$clone" log -1 --format='advisories as of %cs'
    touch --date="$(git -C "$clone" log -1 --format=%cI)" "$clone/.git/FETCH_HEAD"
    sed "s|^\[advisories\]|&\ndb-path = \"$databases\"\nmaximum-db-staleness = \"P1Y\"|" deny.toml > "$databases/deny.toml"
    cargo deny --offline --all-features --config "$databases/deny.toml" check advisories
    ;;
esac
