"""One process that computes. Handles SIGTERM by saying goodbye and exiting with the status in $GOODBYE."""

import os
import signal
import sys
import time

from steps import Steps


def goodbye(*_):
    os.write(1, b"goodbye\n")
    sys.exit(int(os.environ.get("GOODBYE", "0")))


signal.signal(signal.SIGTERM, goodbye)
steps = Steps()
while True:
    steps.step()
    time.sleep(0.01)
