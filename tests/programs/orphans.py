"""Leaves a thousand orphans behind, each of which ends at once, then waits."""

import os
import signal

for _ in range(1000):
    pid = os.fork()
    if pid == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.waitpid(pid, 0)
os.write(1, b"left\n")
signal.pause()
