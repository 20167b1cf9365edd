#!/bin/sh
# Builds the operators that go.mod pins, and prints the directory that has a directory of each: its program, by the name that its own image
# gives it, and its chart. They are kept in the directory $1, named by what they are made from.
set -eu
cache=$1
cd "$(dirname "$0")"

key=$(cat go.mod go.sum build.sh | sha256sum | cut -c 1-16)
built=$cache/operators-$key
mkdir -p "$cache"
exec 9> "$cache/operators.lock"
flock 9
if [ ! -d "$built" ]; then
    command -v go > /dev/null || { echo "the operators need Go: see https://go.dev/dl" >&2; exit 1; }
    rm -rf "$built.partial"
    for package in $(go list tool); do
        module=$(go list -f '{{.Module.Path}}' "$package")
        name=${module##*/}
        mkdir -p "$built.partial/$name"
        CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$built.partial/$name/manager" "$package" >&2
        # What the module client keeps may not be written.
        cp -R "$(go list -m -f '{{.Dir}}' "$module")/charts/$name" "$built.partial/$name/chart"
        chmod -R u+w "$built.partial/$name/chart"
    done
    mv "$built.partial" "$built"
fi
echo "$built"
