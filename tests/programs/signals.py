"""Says which signals it gets; SIGTERM ends it with status 15."""

import os
import signal
import sys

NAMES = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGTERM", "SIGRTMIN")


def say(number, _):
    os.write(1, f"got {signal.Signals(number).name}\n".encode())
    if number == signal.SIGTERM:
        sys.exit(15)


for name in NAMES:
    signal.signal(getattr(signal, name), say)
os.write(1, b"listening\n")
while True:
    signal.pause()
