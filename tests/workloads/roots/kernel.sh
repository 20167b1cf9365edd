#!/bin/sh
# Makes the root file system of pods whose programs show what the kernel gives to a program in the directory $1: that of the other
# pods, $2, and what such a program has in common with its neighbours.
set -eu
root=$1

cp -a "$2" "$root"
cat > "$root/usr/local/lib/python3.13/dist-packages/workload.py" <<'EOF'
"""Has a program answer from outside of its tree: `python3 -m workload put|check|count`."""
import ctypes
import os
import select
import socket
import sys
import traceback

PATH = "/run/workload.sock"
libc = ctypes.CDLL(None, use_errno=True)


def call(name, *args):
    """A function of the C library, as an OSError if it fails."""
    result = getattr(libc, name)(*args)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def serve(put, check, count=None, step=lambda: None):
    """Answers for ever, and calls `step` in between; without a `count` that is what is counted."""
    steps, failed, client = 0, None, None
    # A process that is made to answer does not keep the connection of who asks.
    os.register_at_fork(after_in_child=lambda: client and client.close())
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(PATH)
    listener.listen(16)
    asked = select.poll()
    asked.register(listener, select.POLLIN)
    answers = {"ready": lambda: "", "put": put, "check": check, "count": count or (lambda: steps)}
    while True:
        if asked.poll(10):
            client = listener.accept()[0]
            try:
                told = answers[client.recv(100).decode()]()
                answer = "+" if told is None else f"+{told}"
            except Exception:
                # What has failed may have taken away what it looks for the next time: that it is not there tells nothing.
                answer = failed = failed or "-" + traceback.format_exc()
            try:
                client.sendall(answer.encode())
            except OSError:
                pass  # Whoever asked is gone.
            client.close()
        step()
        steps += 1


def ask(what):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(PATH)
    client.sendall(what.encode())
    answer = b""
    while part := client.recv(65536):
        answer += part
    print(answer[1:].decode())
    return 0 if answer[:1] == b"+" else 1


if __name__ == "__main__":
    sys.exit(ask(sys.argv[1]))
EOF
