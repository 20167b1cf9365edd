#!/bin/sh
# Makes in the directory $1 what a machine with a real NFS boots from, disk.img and vmlinuz: Debian's kernel for clouds and its
# NFS server in a copy of the pods' root file system $2, which is in it a second time for the pods to run on.
set -eu
out=$1
pods=$2
root=$out/root

mkdir -p "$root"
cp --archive "$pods/." "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf"
chroot "$root" apt-get update
# From where CRIU comes from, since that has brought its libraries already.
DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install --yes --no-install-recommends --target-release unstable \
    iproute2 kmod nfs-kernel-server xz-utils
# Unpacked and not installed: nobody needs an initial file system, since ext4 and NVMe are in the kernel itself. Its modules
# are unpacked here, once, since that takes an emulated processor seconds.
# shellcheck disable=SC2016
chroot "$root" sh -euc 'cd /tmp
    apt-get download "$(apt-cache depends linux-image-cloud-amd64 | sed -n "s/^ *Depends: //p")"
    dpkg --extract linux-image-*.deb /
    rm linux-image-*.deb
    find /usr/lib/modules -name "*.ko.xz" -exec unxz {} +
    depmod "$(ls /usr/lib/modules)"'
chroot "$root" apt-get clean
rm -rf "$root/var/lib/apt/lists" "$root/etc/resolv.conf"
mv "$root"/boot/vmlinuz-* "$out/vmlinuz"
rm -rf "$root/boot"

mkdir -p "$root$pods"
cp --archive "$pods/." "$root$pods"
mke2fs -q -t ext4 -d "$root" "$out/disk.img" 3G
rm -rf "$root"
