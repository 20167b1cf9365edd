#!/bin/sh
# What a person would do with CRIU alone: dump on SIGTERM into a new directory, sync it, then name it the latest;
# restore the latest at the start, and remove the one before. The options are the least with which that works here, unless
# others are given.
base=/checkpoints/plain
least="--unprivileged --network-lock skip --tcp-close"
dump_options="${DUMP_OPTIONS:-$least}"
restore_options="${RESTORE_OPTIONS:-$least}"
latest=$(cat $base/latest 2> /dev/null || echo 0)
images=$base/$latest
mkdir -p $base
if [ "$latest" != 0 ]; then
    # shellcheck disable=SC2086
    criu restore -v4 $restore_options -D "$images" -o restore.log --restore-detached \
        --inherit-fd "fd[1]:$(cat "$images/stdout")" --inherit-fd "fd[2]:$(cat "$images/stderr")" || exit 1
    tree=$(cat "$images/tree")
    rm -rf "${base:?}/$((latest - 1))" &
else
    # Ids above 300, or they would be taken at the restore.
    while [ "$(sh -c 'echo $$')" -lt 300 ]; do :; done
    # shellcheck disable=SC2086
    ${WRAPPER:-} setsid "$@" < /dev/null &
    tree=$!
fi
dump() {
    # By way of variables: a redirection would already be in place when the link is read.
    stdout=$(readlink "/proc/$tree/fd/1")
    stderr=$(readlink "/proc/$tree/fd/2")
    next=$base/$((latest + 1))
    mkdir "$next"
    echo "$stdout" > "$next/stdout"
    echo "$stderr" > "$next/stderr"
    echo "$tree" > "$next/tree"
    # shellcheck disable=SC2086
    criu dump -v4 $dump_options -D "$next" -o dump.log -t "$tree" && sync "$next"/* "$next" && echo $((latest + 1)) > $base/latest
    exit $?
}
trap dump TERM
while :; do
    sleep 1000 &
    wait $!
done
