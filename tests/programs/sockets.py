"""A listening TCP socket that is served between steps, a UNIX socket pair, and a listening UNIX socket."""

import os
import socket
import threading
import time

from steps import Steps, fail

server = socket.create_server(("127.0.0.1", 7000))
named = socket.socket(socket.AF_UNIX)
named.bind(f"/tmp/named-{os.getpid()}.sock")
named.listen()
left, right = socket.socketpair()


def serve(listener):
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.sendall(connection.recv(64).upper())
            except OSError:
                # An open connection is closed by a restore; its client asks again.
                pass


def echo():
    while True:
        right.sendall(right.recv(64))


def ask(family, address):
    while True:
        try:
            with socket.socket(family) as client:
                client.connect(address)
                client.sendall(b"step")
                answer = client.recv(64)
        except OSError:
            continue
        if answer == b"STEP":
            return
        if answer:
            fail(f"the server answered {answer}")


for target, args in ((serve, (server,)), (serve, (named,)), (echo, ())):
    threading.Thread(target=target, args=args, daemon=True).start()

steps = Steps()
while True:
    ask(socket.AF_INET, ("127.0.0.1", 7000))
    ask(socket.AF_UNIX, named.getsockname())
    left.sendall(b"pair")
    if left.recv(64) != b"pair":
        fail("the socket pair lost something")
    steps.step()
    time.sleep(0.01)
