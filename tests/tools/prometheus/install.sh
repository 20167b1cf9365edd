#!/bin/sh
# Unpacks Debian's package of Prometheus, and prints the directory of its programs. It is kept in the directory $1, named by its version.
set -eu
cache=$1

command -v apt-get > /dev/null || { echo "Prometheus is had from Debian's package, for which there is no apt-get" >&2; exit 1; }
version=$(apt-cache show --no-all-versions prometheus 2> /dev/null | sed -n 's/^Version: //p')
[ -n "$version" ] || { apt-get update -qq >&2; version=$(apt-cache show --no-all-versions prometheus | sed -n 's/^Version: //p'); }
unpacked=$cache/prometheus-$version
mkdir -p "$cache"
exec 9> "$cache/prometheus.lock"
flock 9
if [ ! -e "$unpacked" ]; then
    rm -rf "$unpacked.partial"
    mkdir "$unpacked.partial"
    (cd "$unpacked.partial" && apt-get download -qq prometheus >&2 && dpkg-deb -x ./*.deb . && rm ./*.deb)
    mv "$unpacked.partial" "$unpacked"
fi
echo "$unpacked/usr/bin"
