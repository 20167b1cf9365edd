#!/bin/sh
# Makes the root file system of pods with MPI in the directory $1: that of the other pods, $2, and from Debian Open MPI and its
# binding for Python.
set -eu
root=$1

cp -a "$2" "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf 'path-exclude=/usr/share/man/*\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/locale/*\n' \
    > "$root/etc/dpkg/dpkg.cfg.d/small"
export DEBIAN_FRONTEND=noninteractive
chroot "$root" apt-get update
# Beside CRIU's, which comes from sid.
chroot "$root" apt-get install --yes --no-install-recommends openmpi-bin python3-mpi4py libnl-route-3-200/sid
chroot "$root" apt-get clean
rm -rf "$root/var/lib/apt/lists" "$root/etc/resolv.conf"
