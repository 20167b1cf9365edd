"""Counts in memory, and tells where it counts."""

import itertools
import time

for step in itertools.count(1):
    print(step, flush=True)
    time.sleep(0.5)
