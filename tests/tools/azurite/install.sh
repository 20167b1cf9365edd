#!/bin/sh
# Installs Azurite as package-lock.json pins it, and prints the directory of its program. It is kept in the directory $1, named by what it
# is made from.
set -eu
cache=$1
cd "$(dirname "$0")"

key=$(cat package.json package-lock.json serve.js install.sh | sha256sum | cut -c 1-16)
installed=$cache/azurite-$key
mkdir -p "$cache"
exec 9> "$cache/azurite.lock"
flock 9
if [ ! -e "$installed/whole" ]; then
    rm -rf "$installed"
    mkdir "$installed"
    cp package.json package-lock.json serve.js "$installed"
    (cd "$installed" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund >&2)
    touch "$installed/whole"
fi
echo "$installed"
