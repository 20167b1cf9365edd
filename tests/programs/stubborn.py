"""Makes steps, and answers a SIGTERM by going on."""

import os
import signal
import time

from steps import Steps

signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"not yet\n"))
steps = Steps()
while True:
    steps.step()
    time.sleep(0.01)
