#!/bin/sh
# Makes the root file system of pods with the usual servers in the directory $1: that of the other pods, $2, and from Debian
# databases, caches, web servers, a message broker, PHP and the server of a game, as they come, with none of them started.
set -eu
root=$1

cp -a "$2" "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
printf 'path-exclude=/usr/share/man/*\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/locale/*\n' \
    > "$root/etc/dpkg/dpkg.cfg.d/small"
export DEBIAN_FRONTEND=noninteractive
chroot "$root" apt-get update
# PostgreSQL's package would make a cluster, which each workload does for itself.
mkdir -p "$root/etc/postgresql-common"
echo 'create_main_cluster = false' > "$root/etc/postgresql-common/createcluster.conf"
# Some packages run what they install, which wants to see /proc; the mount ends with its namespace.
# shellcheck disable=SC2016
unshare --mount sh -c 'mount -t proc proc "$1/proc" && shift && exec chroot "$@"' sh "$root" "$root" \
    apt-get install --yes --no-install-recommends \
    redis-server postgresql-17 mariadb-server mariadb-client rabbitmq-server nginx-light apache2 lighttpd memcached \
    php-cli php-fpm php-apcu gosu curl procps python3-pika luanti-server
chroot "$root" apt-get clean
rm -rf "$root/var/lib/apt/lists" "$root/etc/resolv.conf" "$root/usr/sbin/policy-rc.d" "$root/var/lib/mysql" \
    "$root"/usr/share/fonts "$root"/usr/share/i18n
# PostgreSQL's compiler, which it does without, and MariaDB's tools, each of which has all of its server in it.
rm -f "$root"/usr/lib/x86_64-linux-gnu/libLLVM.so.* "$root"/usr/lib/x86_64-linux-gnu/libz3.so.* \
    "$root"/usr/bin/aria_* "$root"/usr/bin/myisam* "$root"/usr/bin/mariadb-[!ai]* "$root"/usr/bin/innochecksum \
    "$root"/usr/bin/perror "$root"/usr/bin/replace "$root"/usr/bin/resolve_stack_dump
