#!/bin/sh
# Installs moto as requirements.txt pins it, and prints the directory of its Python. It is kept in the directory $1, named
# by what it is made from.
set -eu
cache=$1
cd "$(dirname "$0")"

key=$(cat requirements.txt install.sh | sha256sum | cut -c 1-16)
installed=$cache/moto-$key
mkdir -p "$cache"
exec 9> "$cache/moto.lock"
flock 9
# Its programs have the directory's name in them, so it is made in its place, and the mark comes last.
if [ ! -e "$installed/whole" ]; then
    rm -rf "$installed"
    # Debian's own Python: another one that comes first may be gone tomorrow.
    /usr/bin/python3 -m venv "$installed" >&2
    "$installed/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement requirements.txt >&2
    touch "$installed/whole"
fi
echo "$installed/bin"
