#!/bin/sh
# Makes the root file system of the test pods in the directory $1: Debian trixie, Python, and CRIU from sid, since
# trixie's own fails on every socket with kernels from 6.16 on.
set -eu
root=$1

debootstrap --variant=minbase --include=python3-minimal,libpython3-stdlib trixie "$root"

# The mirror is the one that debootstrap chose. A mirror that lags behind serves a list whose validity has passed.
sed -n 's/^deb \([^ ]*\) .*/deb [check-valid-until=no] \1 sid main/p;q' "$root/etc/apt/sources.list" \
    > "$root/etc/apt/sources.list.d/sid.list"
printf 'Package: *\nPin: release n=sid\nPin-Priority: 100\n' > "$root/etc/apt/preferences.d/sid"
cp /etc/resolv.conf "$root/etc/resolv.conf"
chroot "$root" apt-get update
chroot "$root" apt-get install --yes --no-install-recommends --target-release unstable criu
chroot "$root" apt-get clean
rm -rf "$root/var/lib/apt/lists" "$root/etc/resolv.conf"

# Mount points for what every pod gets.
mkdir -p "$root/checkpoints" "$root/programs" "$root/etc/crik" "$root/volume"
: > "$root/etc/crik/config.yaml"
: > "$root/usr/local/bin/crik"
