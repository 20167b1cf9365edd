"""Is always connected to a UNIX socket, over which it says something at each step: `client.py PATH`.

A SIGUSR1 has it close the connection, and a SIGUSR2 open one again.
"""

import os
import signal
import socket
import sys
import time

from steps import Steps

alone = False


def close(*_):
    global alone
    alone = True


def connect(*_):
    global alone
    alone = False


def connected():
    while True:
        try:
            client = socket.socket(socket.AF_UNIX)
            client.connect(sys.argv[1])
            return client
        except OSError:
            time.sleep(0.01)


def wait_alone():
    client.close()
    open("/tmp/alone", "w").close()
    while alone:
        time.sleep(0.01)


signal.signal(signal.SIGUSR1, close)
signal.signal(signal.SIGUSR2, connect)
open("/tmp/pid", "w").write(str(os.getpid()))
steps, client = Steps(), connected()
while True:
    if alone:
        wait_alone()
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
