"""Is always connected to a UNIX socket, over which it says something at each step: `client.py PATH`."""

import socket
import sys
import time

from steps import Steps


def connected():
    while True:
        try:
            client = socket.socket(socket.AF_UNIX)
            client.connect(sys.argv[1])
            return client
        except OSError:
            time.sleep(0.01)


steps, client = Steps(), connected()
while True:
    try:
        client.send(b"x")
        if not client.recv(1):
            raise ConnectionError
    except OSError:
        client.close()
        client = connected()
        print("connected again", file=sys.stderr, flush=True)
    steps.step()
    time.sleep(0.005)
