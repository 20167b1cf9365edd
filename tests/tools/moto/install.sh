#!/bin/sh
# Installs moto, an S3 server, into the directory $1, and prints the directory of its programs.
exec "$(dirname "$0")/../venv.sh" moto "$1"
