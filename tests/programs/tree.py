"""A tree with pipes between its members: each step goes through every worker and back."""

import os
import time

from steps import Steps, fail

WORKERS = 3


def worker(read, write):
    seen = 0
    while True:
        number = os.read(read, 8)
        seen += 1
        # A worker knows how many it has handed on: a step that is lost between two members shows here.
        if int.from_bytes(number, "big") != seen:
            fail(f"a worker saw {number} as number {seen}")
        os.write(write, number)


first_read, first_write = os.pipe()
read = first_read
for _ in range(WORKERS):
    next_read, next_write = os.pipe()
    if os.fork() == 0:
        worker(read, next_write)
    read = next_read

steps = Steps()
number = 0
while True:
    number += 1
    os.write(first_write, number.to_bytes(8, "big"))
    if os.read(read, 8) != number.to_bytes(8, "big"):
        fail("a step came back changed")
    steps.step()
    time.sleep(0.01)
