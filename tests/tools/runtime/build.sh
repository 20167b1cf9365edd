#!/bin/sh
# Builds what runs the containers of a node, and the cluster's DNS, as go.mod pins them, and prints the directory they
# are in. They are kept in the directory $1, named by what they are made from.
set -eu
cache=$1
cd "$(dirname "$0")"

key=$(cat go.mod go.sum build.sh | sha256sum | cut -c 1-16)
built=$cache/runtime-$key
mkdir -p "$cache"
exec 9> "$cache/runtime.lock"
flock 9
if [ ! -d "$built" ]; then
    command -v go > /dev/null || { echo "the nodes' programs need Go: see https://go.dev/dl" >&2; exit 1; }
    rm -rf "$built.partial"
    mkdir "$built.partial"
    # containerd asks of its shim that it says its release.
    release=$(go list -m -f '{{.Version}}' github.com/containerd/containerd/v2)
    flags="-s -w -X github.com/containerd/containerd/v2/version.Version=$release"
    for program in containerd containerd-shim-runc-v2 ctr; do
        CGO_ENABLED=0 go build -trimpath -tags no_btrfs,no_devmapper,no_zfs -ldflags "$flags" \
            -o "$built.partial/" "github.com/containerd/containerd/v2/cmd/$program" >&2
    done
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$built.partial/" github.com/coredns/coredns >&2
    # runc enters namespaces in C before Go's threads begin, and needs libseccomp for RuntimeDefault.
    CGO_ENABLED=1 go build -trimpath -tags seccomp -ldflags "-s -w" \
        -o "$built.partial/" github.com/opencontainers/runc >&2
    # The program of every pod's sandbox, which Kubernetes keeps among its sources.
    (cd .. && go mod download k8s.io/kubernetes)
    kubernetes=$(cd .. && go list -m -f '{{.Dir}}' k8s.io/kubernetes)
    cc -static -Os -o "$built.partial/pause" "$kubernetes/build/pause/linux/pause.c"
    mv "$built.partial" "$built"
fi
echo "$built"
