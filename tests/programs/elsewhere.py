"""Has something at a path that the first argument names, in the way that the second one says, and says goodbye when it is told to stop."""

import mmap
import os
import signal
import socket
import sys
import time

from steps import Steps


def opened(path):
    return open(path, "w+")


def mapped(path):
    with open(path, "w+b") as file:
        file.truncate(mmap.PAGESIZE)
        held = mmap.mmap(file.fileno(), mmap.PAGESIZE)
    # Python keeps a descriptor of its own.
    for number in os.listdir("/proc/self/fd"):
        if os.path.lexists(f"/proc/self/fd/{number}") and os.readlink(f"/proc/self/fd/{number}") == path:
            os.close(int(number))
    return held


def working(path):
    os.mkdir(path)
    os.chdir(path)


def listening(path):
    os.mkdir(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}/socket")
    listener.listen()
    return listener


signal.signal(signal.SIGTERM, lambda *_: (steps.write("goodbye"), sys.exit(0)))
held = {"open": opened, "mapped": mapped, "working": working, "listening": listening}[sys.argv[2]](sys.argv[1])
steps = Steps()
while True:
    steps.step()
    if sys.argv[2] == "open":
        held.write(f"{len(steps.tokens)}\n")
        held.flush()
    time.sleep(0.01)
