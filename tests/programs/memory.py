"""Holds $1 megabytes of random memory and makes a step every few milliseconds."""

import os
import sys
import time

from steps import Steps

memory = bytearray()
for _ in range(int(sys.argv[1])):
    memory += os.urandom(1 << 20)
steps = Steps()
while True:
    steps.step()
    # Touches all of it over time, as a computation does.
    memory[len(steps.tokens) * 4096 % len(memory)] ^= 1
    time.sleep(0.002)
