#!/bin/sh
# Installs what the demo and the tests run: runc, debootstrap for the pods' root file system, and iproute2 for their
# networks. Does nothing when all is there.
set -eu

missing=
for pair in runc:runc debootstrap:debootstrap ip:iproute2 cc:gcc; do
    command -v "${pair%%:*}" > /dev/null || missing="$missing ${pair#*:}"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "crik's tests need root on Debian to install:$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install --yes --no-install-recommends $missing
