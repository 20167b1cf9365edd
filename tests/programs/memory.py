"""Holds $1 megabytes of random memory and makes a step every few milliseconds. If there is a $2, all of it is new after each second."""

import os
import sys
import time

from steps import Steps



def random(megabytes):
    memory = bytearray()
    for _ in range(megabytes):
        memory += os.urandom(1 << 20)
    return memory


memory = random(int(sys.argv[1]))
renewed = time.monotonic()
steps = Steps()
while True:
    steps.step()
    # Touches all of it over time, as a computation does.
    memory[len(steps.tokens) * 4096 % len(memory)] ^= 1
    if len(sys.argv) > 2 and time.monotonic() > renewed + 1:
        memory = random(int(sys.argv[1]))
        renewed = time.monotonic()
    time.sleep(0.002)
