"""A program with TCP connections, each named by an argument; between two steps it uses them all. Those within the program lead to a child
of it, which answers.

many4:N, many6:N   N connections over loopback, each with an answer a step
mapped             one of IPv4 in a socket of IPv6
half               a connection of which this side has said all, and the other has not
torrent            a connection that is always full
stuck              one that is filled in both directions and is read only when /tmp/read is there
own                one to the pod's own address, which is another one in the next pod
outside            one to PEER, which may be closed
queued             one that nobody has accepted

What was closed is told on standard error, once.
"""

import os
import socket
import struct
import sys
import threading
import time

from steps import Steps, fail

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def serve(listener, handle):
    """In a child, so that both ends are of different processes. A connection that is lost ends its thread."""
    def contained(client):
        try:
            handle(client)
        except OSError:
            pass

    if os.fork() != 0:
        listener.close()
        return
    while True:
        client, _ = listener.accept()
        threading.Thread(target=contained, args=[client], daemon=True).start()


def connection(handle, family=socket.AF_INET, address=None, dual=False):
    listener = socket.socket(family)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual)
    listener.bind(("::" if dual else address or LOOPBACK[family], 0))
    listener.listen(4096)
    port = listener.getsockname()[1]
    serve(listener, handle)
    return lambda to=address or LOOPBACK[family], as_family=family: connected(as_family, to, port)


def connected(family, address, port):
    client = socket.socket(family)
    client.connect((address, port))
    return client


def exactly(client, count):
    data = bytearray()
    while len(data) < count:
        part = client.recv(count - len(data))
        if not part:
            raise ConnectionError("it has ended")
        data += part
    return bytes(data)


def echo(client):
    while data := client.recv(1 << 16):
        client.sendall(data)


class Many:
    def __init__(self, name, count, connect):
        self.name, self.clients = name, [connect() for _ in range(count)]

    def use(self):
        token = os.urandom(8)
        for client in self.clients:
            client.sendall(token)
        for client in self.clients:
            if exactly(client, 8) != token:
                fail(f"{self.name}: another answer")


def numbers(client):
    """What is said by a side that has nothing to read any more."""
    while client.recv(1 << 16):
        pass
    number = 0
    while True:
        client.sendall(struct.pack("!Q", number))
        number += 1
        time.sleep(0.001)


class Half:
    name = "half"

    def __init__(self):
        self.client, self.next = connection(numbers)(), 0
        self.client.shutdown(socket.SHUT_WR)

    def use(self):
        if struct.unpack("!Q", exactly(self.client, 8))[0] != self.next:
            fail("half: another number")
        self.next += 1


BLOCK = 8192


def block(number):
    return struct.pack("!Q", number) * (BLOCK // 8)


def pour(client):
    number = 0
    while True:
        client.sendall(block(number))
        number += 1


class Torrent:
    name = "torrent"

    def __init__(self):
        self.client, self.next = connection(pour)(), 0

    def use(self):
        for _ in range(32):
            if exactly(self.client, BLOCK) != block(self.next):
                fail("torrent: another block")
            self.next += 1


PAYLOAD = b"".join(block(number) for number in range(2000))


def exchange(client):
    """Says more than both sides have room for, and reads only when it is told to."""
    threading.Thread(target=client.sendall, args=[PAYLOAD], daemon=True).start()
    while not os.path.exists("/tmp/read"):
        time.sleep(0.01)
    if exactly(client, len(PAYLOAD)) != PAYLOAD:
        fail("stuck: something else came")
    print("stuck: all is read", file=sys.stderr, flush=True)
    time.sleep(3600)


class Stuck:
    name = "stuck"

    def __init__(self):
        client = connection(exchange)()
        threading.Thread(target=exchange, args=[client], daemon=True).start()
        time.sleep(0.5)

    def use(self):
        pass


class Queued:
    name = "queued"

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.client = connected(socket.AF_INET, "127.0.0.1", self.listener.getsockname()[1])

    def use(self):
        self.client.send(b"x")


def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((os.environ.get("PEER", "10.255.255.255"), 9))
        return probe.getsockname()[0]


def made(argument):
    kind, _, count = argument.partition(":")
    count = int(count or 1)
    if kind == "many4":
        return Many(argument, count, connection(echo))
    if kind == "many6":
        return Many(argument, count, connection(echo, socket.AF_INET6))
    if kind == "mapped":
        connect = connection(echo, socket.AF_INET6, dual=True)
        return Many(argument, 2, lambda: connect("127.0.0.1", socket.AF_INET))
    if kind == "own":
        return Many(argument, 1, connection(echo, address=own_address()))
    if kind == "outside":
        return Many(argument, 1, lambda: connected(socket.AF_INET, os.environ["PEER"], int(os.environ["PORT"])))
    return {"half": Half, "torrent": Torrent, "stuck": Stuck, "queued": Queued}[kind]()


steps = Steps()
used = [made(argument) for argument in sys.argv[1:]]
print("all are connected", file=sys.stderr, flush=True)
while True:
    for one in list(used):
        try:
            one.use()
        except OSError as error:
            print(f"{one.name} is closed: {error}", file=sys.stderr, flush=True)
            used.remove(one)
    steps.step()
    time.sleep(0.01)
