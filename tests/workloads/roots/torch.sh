#!/bin/sh
# Makes the root file system of pods with PyTorch in the directory $1: that of the other pods, $2, and Debian's build of PyTorch, which
# is for CPUs; the one in the package index needs gigabytes of CUDA's libraries.
set -eu
root=$1

cp -a "$2" "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf"
export DEBIAN_FRONTEND=noninteractive
printf 'path-exclude=/usr/share/man/*\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/locale/*\n' \
    > "$root/etc/dpkg/dpkg.cfg.d/small"
chroot "$root" apt-get update
# One of its libraries is there from sid already, and the other has to match it.
chroot "$root" apt-get install --yes --no-install-recommends python3-torch libnl-route-3-200/unstable curl
chroot "$root" apt-get clean
rm -rf "$root/var/lib/apt/lists" "$root/etc/resolv.conf"
# PyTorch's own tests, and the compiler of GPUs that are not there.
rm -rf "$root"/usr/lib/x86_64-linux-gnu/libtorch-test "$root"/usr/lib/python3/dist-packages/torch/bin/test_* \
    "$root"/usr/lib/x86_64-linux-gnu/ucx/*rocm* "$root"/usr/lib/x86_64-linux-gnu/libLLVM*.so*
