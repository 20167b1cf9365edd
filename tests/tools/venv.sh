#!/bin/sh
# Installs Python programs as $1/requirements.txt pins them, and prints the directory of its programs. It is kept in the directory $2, named
# by what it is made from.
set -eu
name=$1
cache=$2
cd "$(dirname "$0")"

key=$(cat "$name/requirements.txt" venv.sh | sha256sum | cut -c 1-16)
installed=$cache/$name-$key
mkdir -p "$cache"
exec 9> "$cache/$name.lock"
flock 9
# Its programs have the directory's name in them, so it is made in its place, and the mark comes last.
if [ ! -e "$installed/whole" ]; then
    rm -rf "$installed"
    # Debian's own Python: another one that comes first may be gone tomorrow.
    /usr/bin/python3 -m venv "$installed" >&2
    "$installed/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$name/requirements.txt" >&2
    touch "$installed/whole"
fi
echo "$installed/bin"
