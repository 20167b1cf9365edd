"""A program of 400 threads, all of which must be there for a step."""

import threading
import time

from steps import Steps, fail

THREADS = 400


def wait(index):
    while True:
        counts[index] += 1
        begin.wait()


# A small stack each, since only their ids matter.
threading.stack_size(64 << 10)
counts = [0] * THREADS
begin = threading.Barrier(THREADS + 1)
for number in range(THREADS):
    threading.Thread(target=wait, args=(number,), daemon=True).start()
steps = Steps()
while True:
    begin.wait()
    if max(counts) - min(counts) > 1:
        fail("a thread was left behind")
    steps.step()
    time.sleep(0.02)
