#!/bin/sh
# Makes the root file system of pods with .NET in the directory $1: that of the other pods, $2, .NET Core from PyPI, which is where
# one can be had as a package, and from Debian Mono and its compiler of C#, since .NET's own comes by no package.
set -eu
root=$1

cp -a "$2" "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf 'path-exclude=/usr/share/man/*\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/locale/*\n' \
    > "$root/etc/dpkg/dpkg.cfg.d/small"
export DEBIAN_FRONTEND=noninteractive
chroot "$root" apt-get update
chroot "$root" apt-get install --yes --no-install-recommends mono-mcs mono-runtime curl
chroot "$root" apt-get clean
rm -rf "$root/var/lib/apt/lists" "$root/etc/resolv.conf"

packages=$(mktemp -d)
trap 'rm -r "$packages"' EXIT
# With the settings of this machine; it is no more than an archive.
pip download --quiet --no-deps --only-binary :all: --dest "$packages" dotnetcore2==3.1.23
python3 -m zipfile -e "$packages"/dotnetcore2-*.whl "$packages/unpacked"
mv "$packages/unpacked/dotnetcore2/bin" "$root/opt/dotnet"
chmod +x "$root/opt/dotnet/dotnet"
