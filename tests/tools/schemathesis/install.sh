#!/bin/sh
# Installs schemathesis, what makes requests from the description of an API, into the directory $1, and prints the directory of its programs.
exec "$(dirname "$0")/../venv.sh" schemathesis "$1"
