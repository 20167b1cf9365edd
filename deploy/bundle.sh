#!/bin/sh
# Puts programs into $1/usr/local/bin, and all libraries that they need into $1/usr/local/lib/crik, the loader among them,
# so that they run in any image, whatever C library it has.
set -eu
bundle=$1
shift
bin=$bundle/usr/local/bin
lib=$bundle/usr/local/lib/crik
mkdir -p "$bin" "$lib"

for program; do
    ldd "$program" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' | while read -r library; do
        cp --dereference "$library" "$lib/"
    done
    to=$bin/$(basename "$program")
    cp --dereference "$program" "$to"
    # Each architecture's loader has another name.
    loader=$(basename "$(patchelf --print-interpreter "$program")")
    patchelf --set-interpreter "/usr/local/lib/crik/$loader" --force-rpath --set-rpath /usr/local/lib/crik "$to"
done

# Where crik keeps what the program maps and what it is told, whoever the pod runs as.
mkdir -p "$bundle/run"
mkdir -m 1777 "$bundle/run/crik"

# What a pod needs that does not run as root: it has no more than its programs' files permit, and crik hands that on to CRIU. Permitted
# only (=p): a file that demands more than a pod spec allows cannot be started at all. Last, since a file that is written loses it.
setcap cap_checkpoint_restore,cap_sys_ptrace,cap_setpcap=p "$bin/crik"
