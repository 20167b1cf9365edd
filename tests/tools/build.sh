#!/bin/sh
# Builds the programs of a Kubernetes cluster that go.mod pins, and prints the directory they are in. They are kept in
# the directory $1, named by what they are made from. With KUBEBUILDER_ASSETS, envtest's name for it, that directory is
# used as it is.
set -eu
cache=$1
cd "$(dirname "$0")"

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
    echo "$KUBEBUILDER_ASSETS"
    exit
fi

key=$(cat go.mod go.sum build.sh | sha256sum | cut -c 1-16)
built=$cache/tools-$key
mkdir -p "$cache"
exec 9> "$cache/tools.lock"
flock 9
if [ ! -d "$built" ]; then
    command -v go > /dev/null || { echo "the cluster's programs need Go: see https://go.dev/dl" >&2; exit 1; }
    # A program that was built by a module client does not know its release, and kubelet and helm ask for it.
    release=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
    minor=$(echo "$release" | cut -d . -f 2)
    flags="-s -w"
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags="$flags -X $package.gitVersion=$release -X $package.gitMajor=1 -X $package.gitMinor=$minor"
    done
    rm -rf "$built.partial"
    mkdir "$built.partial"
    # Pure Go, so that a program runs in any image.
    CGO_ENABLED=0 go build -trimpath -ldflags "$flags" -o "$built.partial/" tool >&2
    # The server's package is named for its version.
    [ ! -e "$built.partial/server" ] || mv "$built.partial/server" "$built.partial/etcd"
    mv "$built.partial" "$built"
fi
echo "$built"
