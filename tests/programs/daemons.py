"""Starts a daemon as daemon(3) does (`single`) or as python-daemon does (`double`, or `subreaper` where it
adopts that one itself), and makes steps only while it lives.

The two talk over a socket pair, and the daemon keeps a count of its own.
"""

import os
import signal
import socket
import sys
import time

from steps import Steps, fail

if sys.argv[1] == "subreaper":
    # As tini -s does: what this program's children leave behind is adopted by it and not by the tree's root.
    import ctypes

    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)

here, there = socket.socketpair()


def serve():
    here.close()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in range(1, 1 << 31):
        asked = there.recv(8)
        if not asked:
            os._exit(0)
        if int(asked) != number:
            fail(f"the daemon was asked {asked} as number {number}")
        there.sendall(b"%d %d" % (number, os.getppid()))


pid = os.fork()
if pid == 0:
    os.setsid()
    if sys.argv[1] != "single" and os.fork() != 0:
        os._exit(0)
    serve()
if sys.argv[1] != "single":
    os.waitpid(pid, 0)
there.close()

steps = Steps()
while True:
    here.sendall(b"%08d" % (len(steps.tokens) + 1))
    number, _ = here.recv(64).split()
    if int(number) != len(steps.tokens) + 1:
        fail(f"the daemon answered {number}")
    steps.step()
    time.sleep(0.01)
