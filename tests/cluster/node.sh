#!/bin/sh
# Makes a node of new namespaces, from inside: mounts, a host name, its end of the bridge.
set -eu
name=$1 address=$2 bits=$3 gateway=$4

# Nothing of it comes out to this machine, but what the kubelet mounts goes into its pods.
mount --make-rprivate /
mount --make-rshared /
mount -t proc proc /proc
for own in /run /var/log; do
    mount -t tmpfs tmpfs "$own"
done
mkdir -p /run/dbus /run/netns /run/lock /var/log/pods
hostname "$name"

ip link set lo up
ip address add "$address/$bits" dev eth0
ip link set eth0 up
ip route add default via "$gateway"
for other in $5; do
    ip route add "${other%=*}" via "${other#*=}"
done
echo 1 > /proc/sys/net/ipv4/ip_forward
# Else a pod that calls a service which is answered on its own node gets the answer from a stranger.
echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables
