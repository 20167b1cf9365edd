"""Makes steps; SIGUSR1 makes it take more memory than it may have."""

import signal
import time

from steps import Steps

taken = []


def take(*_):
    while True:
        taken.append(bytearray(b"x" * (1 << 24)))


signal.signal(signal.SIGUSR1, take)
steps = Steps()
while True:
    steps.step()
    time.sleep(0.01)
