#!/bin/sh
# base: runtimes
# Makes the root file system of pods with servers in several languages in the directory $1: that with Node.js, Java and Ruby, $2,
# and from Debian web servers of Ruby's, Elixir, and what asks them from outside.
set -eu
root=$1

cp -a "$2" "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf 'path-exclude=/usr/share/man/*\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/locale/*\n' \
    > "$root/etc/dpkg/dpkg.cfg.d/small"
export DEBIAN_FRONTEND=noninteractive
chroot "$root" apt-get update
chroot "$root" apt-get install --yes --no-install-recommends curl puma ruby-webrick elixir
chroot "$root" apt-get clean
rm -rf "$root/var/lib/apt/lists" "$root/etc/resolv.conf"
