#!/bin/sh
# Prints where a runc is that knows time namespaces, which 1.2 and later do: the machine's, or one that is built as go.mod
# pins it, within a minute, and kept in the directory $1, named by what it is made from.
set -eu
cache=$1
cd "$(dirname "$0")"

if runc features 2> /dev/null | grep -q '"time"'; then
    command -v runc
    exit
fi

key=$(cat go.mod go.sum runc.sh | sha256sum | cut -c 1-16)
built=$cache/runc-$key
mkdir -p "$cache"
exec 9> "$cache/runc.lock"
flock 9
if [ ! -x "$built" ]; then
    command -v go > /dev/null || {
        echo "nodes that were booted at different times need runc 1.2 or newer, or Go to build it: see https://go.dev/dl" >&2
        exit 1
    }
    # It enters namespaces in C before Go's threads begin, and needs libseccomp for the profiles that pods have.
    CGO_ENABLED=1 go build -trimpath -tags seccomp -ldflags "-s -w" -o "$built.partial" github.com/opencontainers/runc >&2
    mv "$built.partial" "$built"
fi
echo "$built"
