"""Has $1 megabytes of memory that $2 other processes share with it, and makes steps as long as it is as it was."""

import hashlib
import mmap
import os
import sys
import time

from steps import Steps, fail

size, others = int(sys.argv[1]) << 20, int(sys.argv[2])
memory = mmap.mmap(-1, size)
for at in range(0, size, 1 << 20):
    memory[at : at + (1 << 20)] = os.urandom(1 << 20)
expected = hashlib.sha256(memory).digest()
for _ in range(others):
    if os.fork() == 0:
        # To look at it is to have it.
        while hashlib.sha256(memory).digest() == expected:
            time.sleep(60)
        fail("shared memory came back altered")
steps = Steps()
while True:
    steps.step()
    if len(steps.tokens) % 50 == 0 and hashlib.sha256(memory).digest() != expected:
        fail("shared memory came back altered")
    time.sleep(0.01)
