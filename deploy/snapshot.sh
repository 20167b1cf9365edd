#!/bin/sh
# Has apt take packages as they were on the day $1 (20261122T000000Z), by the sources of the file $2, from the archive that keeps all days
# (snapshot.debian.org). A list of then is no longer valid by its own word, but still signed. Without a day all stays as it is.
set -eu
[ -n "$1" ] || exit 0
sed -i -E -e "s|^URIs: https?://[^ ]*/(debian[^/ ]*)/?\$|URIs: http://snapshot.debian.org/archive/\1/$1\nCheck-Valid-Until: no|" "$2"
