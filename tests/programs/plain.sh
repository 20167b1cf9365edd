#!/bin/sh
# What a person would do with CRIU alone: dump on SIGTERM and sync the images, restore if there are any. The options
# are the least with which that works in this container.
images=/checkpoints/plain
options="--unprivileged --network-lock skip --tcp-close -D $images -v4"
if [ -e $images/inventory.img ]; then
    # shellcheck disable=SC2086
    criu restore $options -o restore.log --restore-detached --inherit-fd "fd[1]:$(cat $images/stdout)" \
        --inherit-fd "fd[2]:$(cat $images/stderr)" || exit 1
    tree=$(cat $images/tree)
else
    mkdir -p $images
    # Ids above 300, or they would be taken at the restore.
    while [ "$(sh -c 'echo $$')" -lt 300 ]; do :; done
    setsid "$@" < /dev/null &
    tree=$!
fi
dump() {
    # By way of variables: a redirection would already be in place when the link is read.
    stdout=$(readlink /proc/$tree/fd/1)
    stderr=$(readlink /proc/$tree/fd/2)
    echo "$stdout" > $images/stdout
    echo "$stderr" > $images/stderr
    echo "$tree" > $images/tree
    # shellcheck disable=SC2086
    criu dump $options -o dump.log -t "$tree" && sync $images/* $images
    exit $?
}
trap dump TERM
while :; do
    sleep 1000 &
    wait $!
done
