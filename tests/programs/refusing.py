"""Like single.py, but SIGUSR1 makes it a program that CRIU cannot dump: it attaches SysV shared memory."""

import ctypes
import os
import signal
import sys
import time

from steps import Steps

libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p


def attach(*_):
    segment = libc.shmget(0, 4096, 0o600)
    libc.shmat(segment, None, 0)
    # Gone when the last process detaches, so that nothing is left behind.
    libc.shmctl(segment, 0, None)
    os.write(1, b"attached\n")


def goodbye(*_):
    os.write(1, b"goodbye\n")
    sys.exit(int(os.environ.get("GOODBYE", "0")))


signal.signal(signal.SIGUSR1, attach)
signal.signal(signal.SIGTERM, goodbye)
steps = Steps()
while True:
    steps.step()
    time.sleep(0.01)
