#!/bin/sh
# Installs what the demo, the tests and the benches run: debootstrap for the pods' root file system, iproute2 for their
# networks, what runc is built with if Debian's is too old (tools/runtime/runc.sh), wrk, and QEMU for the suite with a real NFS. Does nothing when all is there. With the word "go" it sees to Go instead, which builds the
# programs of a cluster (tools/go.mod) and has to be installed by hand, since Debian's is too old.
set -eu

if [ "${1:-}" = go ]; then
    [ -n "${KUBEBUILDER_ASSETS:-}" ] && exit 0
    needed=$(sed -n 's/^go //p' "$(dirname "$0")/tools/go.mod")
    found=$(go env GOVERSION 2> /dev/null | sed 's/^go//; s/ .*//') || found=
    if [ "$(printf '%s\n' "$needed" "${found:-0}" | sort -V | head -n 1)" != "$needed" ]; then
        echo "crik's tests build a Kubernetes control plane, which needs Go $needed or newer, and there is ${found:-none};" >&2
        echo "install it from https://go.dev/dl, or set KUBEBUILDER_ASSETS to a directory with the programs" >&2
        exit 1
    fi
    exit 0
fi

missing=
for pair in debootstrap:debootstrap ip:iproute2 cc:gcc c++:g++ musl-gcc:musl-tools wrk:wrk \
    qemu-system-x86_64:qemu-system-x86 mke2fs:e2fsprogs setcap:libcap2-bin; do
    command -v "${pair%%:*}" > /dev/null || missing="$missing ${pair#*:}"
done
# What some programs of the corpus are built or fetched with.
for pair in javac:default-jdk-headless mvn:maven npm:npm pip:python3-pip; do
    command -v "${pair%%:*}" > /dev/null || missing="$missing ${pair#*:}"
done
# What the store is compared with.
for program in zstd lz4 restic; do
    command -v "$program" > /dev/null || missing="$missing $program"
done
# What the nodes of the cluster need: network plugins, services, a logind; and what runc is built with.
for pair in /usr/lib/cni/bridge:containernetworking-plugins /usr/sbin/nft:nftables /usr/bin/dbus-daemon:dbus \
    /usr/lib/python3/dist-packages/dbusmock:python3-dbusmock /usr/include/seccomp.h:libseccomp-dev \
    /usr/bin/pkg-config:pkg-config; do
    [ -e "${pair%%:*}" ] || missing="$missing ${pair#*:}"
done
# What makes requests from the description of the controller's API is installed with it.
/usr/bin/python3 -c 'import ensurepip' 2> /dev/null || missing="$missing python3-venv"
[ -z "$missing" ] && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "crik's tests need root on Debian to install:$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install --yes --no-install-recommends $missing
