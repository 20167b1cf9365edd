"""Holds locks on files, one of which it has mapped, and has another process look whether they are held."""

import fcntl
import mmap
import os
import sys
import time

from steps import Steps, fail

WRITE, READ, LENGTH = 120, 124, 2


def opened(path):
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(fd, mmap.PAGESIZE)
    return fd


def watch(paths):
    """Each step is one in which nobody else could lock any of them."""
    steps, files, whole = Steps(), [opened(path) for path in paths], opened(f"{sys.argv[1]}/whole")
    while True:
        for path, fd in zip(paths, files):
            for start, kind in [(WRITE, fcntl.LOCK_SH), (READ, fcntl.LOCK_EX)]:
                try:
                    fcntl.lockf(fd, kind | fcntl.LOCK_NB, LENGTH, start)
                    fail(f"the lock of {path} at {start} is lost")
                except BlockingIOError:
                    pass
        try:
            fcntl.flock(whole, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fail("the lock of the whole file is lost")
        except BlockingIOError:
            pass
        steps.step()
        time.sleep(0.01)


paths = [f"{sys.argv[1]}/mapped", f"{sys.argv[1]}/open"]
files = [opened(path) for path in paths]
memory = mmap.mmap(files[0], mmap.PAGESIZE)
for fd in files:
    fcntl.lockf(fd, fcntl.LOCK_EX, LENGTH, WRITE)
    fcntl.lockf(fd, fcntl.LOCK_SH, LENGTH, READ)
whole = opened(f"{sys.argv[1]}/whole")
fcntl.flock(whole, fcntl.LOCK_EX)
if os.fork() == 0:
    os.close(whole)
    watch(paths)
while True:
    memory[0] = (memory[0] + 1) % 256
    time.sleep(0.01)
