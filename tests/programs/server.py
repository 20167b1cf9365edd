"""Serves over a UNIX socket and TCP, and has a FIFO open: `server.py [SOCKET]`."""

import os
import selectors
import socket
import sys

from steps import Steps

open("/tmp/pid", "w").write(str(os.getpid()))
os.mkfifo("/tmp/fifo")
fifo = os.open("/tmp/fifo", os.O_RDWR)
named = socket.socket(socket.AF_UNIX)
named.bind(sys.argv[1] if len(sys.argv) > 1 else "/tmp/server.sock")
named.listen()
tcp = socket.create_server(("127.0.0.1", 7000))
chosen = selectors.DefaultSelector()
for listener in (named, tcp):
    chosen.register(listener, selectors.EVENT_READ)
steps = Steps()
while True:
    for key, _ in chosen.select(0.01):
        if key.fileobj in (named, tcp):
            chosen.register(key.fileobj.accept()[0], selectors.EVENT_READ)
        elif said := key.fileobj.recv(64):
            key.fileobj.send(said.upper())
        else:
            chosen.unregister(key.fileobj)
            key.fileobj.close()
    steps.step()
