"""Like single.py, but SIGUSR1 makes it a program that CRIU cannot dump: it has a userfaultfd."""

import ctypes
import os
import signal
import sys
import time

from steps import Steps

USERFAULTFD = {"x86_64": 323, "aarch64": 282}[os.uname().machine]
# Only for what the program itself does, which anybody may have.
USER_MODE_ONLY = 1


def refuse(*_):
    if ctypes.CDLL(None).syscall(USERFAULTFD, os.O_CLOEXEC | USER_MODE_ONLY) >= 0:
        os.write(1, b"refusing\n")


def goodbye(*_):
    os.write(1, b"goodbye\n")
    sys.exit(int(os.environ.get("GOODBYE", "0")))


signal.signal(signal.SIGUSR1, refuse)
signal.signal(signal.SIGTERM, goodbye)
steps = Steps()
while True:
    steps.step()
    time.sleep(0.01)
