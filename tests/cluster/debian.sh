#!/bin/sh
# Makes in the directory $1 what the image debian:trixie-slim has, from the same packages: no registry is needed.
set -eu
root=$1

debootstrap --variant=minbase trixie "$root"

# The mirror is the one that debootstrap chose; the image has its sources in this form. A mirror that lags behind serves a
# list whose validity has passed.
mirror=$(sed -n 's/^deb \([^ ]*\) .*/\1/p;q' "$root/etc/apt/sources.list")
rm "$root/etc/apt/sources.list"
cat > "$root/etc/apt/sources.list.d/debian.sources" << SOURCES
Types: deb
URIs: $mirror
Suites: trixie
Components: main
Check-Valid-Until: no
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
# What apt keeps to be faster next time, which the image has turned off too.
cat > "$root/etc/apt/apt.conf.d/docker-clean" << 'CLEAN'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
CLEAN
chroot "$root" apt-get clean
rm -rf "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/var/cache/debconf/*-old "$root/etc/resolv.conf"
# As the slim image has it.
rm -rf "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/*
