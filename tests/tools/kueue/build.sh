#!/bin/sh
# Builds Kueue as go.mod pins it, and prints the directory that has its program, by the name that its own image gives it, and its chart. They
# are kept in the directory $1, named by what they are made from.
set -eu
cache=$1
cd "$(dirname "$0")"

key=$(cat go.mod go.sum build.sh | sha256sum | cut -c 1-16)
built=$cache/kueue-$key
mkdir -p "$cache"
exec 9> "$cache/kueue.lock"
flock 9
if [ ! -d "$built" ]; then
    command -v go > /dev/null || { echo "Kueue needs Go: see https://go.dev/dl" >&2; exit 1; }
    rm -rf "$built.partial"
    mkdir "$built.partial"
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$built.partial/manager" sigs.k8s.io/kueue/cmd/kueue >&2
    # What the module client keeps may not be written.
    cp -R "$(go list -m -f '{{.Dir}}' sigs.k8s.io/kueue)/charts/kueue" "$built.partial/chart"
    chmod -R u+w "$built.partial/chart"
    mv "$built.partial" "$built"
fi
echo "$built"
