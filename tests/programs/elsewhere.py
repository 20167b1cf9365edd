"""Has a file open at a path that the first argument names, and says goodbye when it is told to stop."""

import signal
import sys
import time

from steps import Steps

signal.signal(signal.SIGTERM, lambda *_: (steps.write("goodbye"), sys.exit(0)))
held = open(sys.argv[1], "w+")
steps = Steps()
while True:
    steps.step()
    held.write(f"{len(steps.tokens)}\n")
    held.flush()
    time.sleep(0.01)
