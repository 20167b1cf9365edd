#!/bin/sh
# Makes the root file system of pods whose programs are in other languages than Python, in the directory $1: that of the other
# pods, $2, and what Debian has of Node.js, Java and Ruby.
set -eu
root=$1

cp -a "$2" "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf"
export DEBIAN_FRONTEND=noninteractive
chroot "$root" apt-get update
# Java's packages run Java, which wants to see /proc; the mount ends with its namespace.
# shellcheck disable=SC2016
unshare --mount sh -c 'mount -t proc proc "$1/proc" && shift && exec chroot "$@"' sh "$root" "$root" \
    apt-get install --yes --no-install-recommends nodejs openjdk-21-jdk-headless ruby
chroot "$root" apt-get clean
rm -rf "$root/var/lib/apt/lists" "$root/etc/resolv.conf"
