#!/bin/sh
# The first process of the machine with a real NFS. It brings up a server with two exports, and then runs the tests that the
# host names, a line each, on the port over which it also answers: what the test said, and at last how it ended.
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
hostname machine
ip link set lo up

# What the host has built and what the tests read, at the same paths as there.
cp --archive /mnt/. /

modprobe --all overlay veth bridge nfsv4 nfsd
mount -t nfsd nfsd /proc/fs/nfsd
mkdir -p /run/rpc_pipefs /var/lib/nfs/nfsdcld
mount -t rpc_pipefs rpc_pipefs /run/rpc_pipefs
for export in no_root_squash root_squash; do
    mkdir -p "/srv/$export"
    chmod 1777 "/srv/$export"
    echo "/srv/$export *(rw,sync,no_subtree_check,$export)"
done > /etc/exports
exportfs -ra
nfsdcld
rpc.mountd --no-nfs-version 3
rpc.nfsd --no-nfs-version 3 4

port=/dev/$(basename "$(dirname "$(grep -lx crik /sys/class/virtio-ports/*/name)")")
exec 3<> "$port"
echo ready >&3
while read -r test <&3; do
    status=0
    timeout --kill-after 5 270 sh /etc/crik-machine/test "$test" >&3 2>&3 < /dev/null || status=$?
    [ $status = 0 ] || {
        echo '--- what the kernel has said, and what waits'
        dmesg --level warn,err,crit,alert,emerg
        ps -eo pid,ppid,stat,wchan:32,args | grep -v '\['
    } >&3
    # What was ended may have stopped in the midst of a line.
    printf '\nended %s\n' "$status" >&3
done
