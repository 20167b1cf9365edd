"""Like single.py, but SIGUSR1 makes it a program that CRIU cannot dump: it holds a datagram back."""

import os
import signal
import socket
import sys
import time

from steps import Steps

# udp(7).
UDP_CORK = 1
held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def refuse(*_):
    held.setsockopt(socket.IPPROTO_UDP, UDP_CORK, 1)
    held.sendto(b"held back", ("127.0.0.1", 9))
    os.write(1, b"refusing\n")


def goodbye(*_):
    os.write(1, b"goodbye\n")
    sys.exit(int(os.environ.get("GOODBYE", "0")))


signal.signal(signal.SIGUSR1, refuse)
signal.signal(signal.SIGTERM, goodbye)
steps = Steps()
while True:
    steps.step()
    time.sleep(0.01)
