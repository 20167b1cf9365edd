#!/bin/sh
# Makes the root file system of pods with a browser in the directory $1: that of the other pods, $2, and Chromium from Debian.
set -eu
root=$1

cp -a "$2" "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf 'path-exclude=/usr/share/man/*\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/locale/*\n' \
    > "$root/etc/dpkg/dpkg.cfg.d/small"
export DEBIAN_FRONTEND=noninteractive
chroot "$root" apt-get update
chroot "$root" apt-get install --yes --no-install-recommends chromium fonts-dejavu-core
chroot "$root" apt-get clean
rm -rf "$root/var/lib/apt/lists" "$root/etc/resolv.conf" "$root"/usr/share/icons
