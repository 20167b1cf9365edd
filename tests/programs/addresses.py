"""A program with sockets that carry the pod's address, each named by an argument; between two steps it uses them all. Any other
argument means nothing.

It waits by select, which is relative, so that a node with another clock does not matter here.
"""

import errno
import os
import select
import signal
import socket
import struct
import sys

from steps import Steps, fail

HOST = os.environ.get("PEER", "127.0.0.1")
HOST6 = os.environ.get("PEER6", "::1")


def own(family, peer):
    """The pod's address, as the kernel chooses it for a peer; a pod without a link has that of its loopback only."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peer, 9))
        except OSError:
            return "127.0.0.1"
        return probe.getsockname()[0]


class Listening:
    """Answers each client with the step that it came in."""

    def __init__(self, family, address, port):
        # create_server() would take no IPv4 in an IPv6 socket.
        self.listener = socket.socket(family)
        self.listener.bind((address, port))
        self.listener.listen()

    def use(self):
        while select.select([self.listener], [], [], 0)[0]:
            client, _ = self.listener.accept()
            with client:
                client.setblocking(True)
                client.sendall(b"hello\n")


class Sending:
    """Sends a datagram a step."""

    def __init__(self, family, peer, port):
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.connect((peer, port))

    def use(self):
        try:
            self.socket.send(b"step")
        except ConnectionRefusedError:
            pass


class Bound:
    """The same from a socket that is bound and not connected."""

    def __init__(self, address, port, peer):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, port))
        self.peer = peer

    def use(self):
        self.socket.sendto(b"bound", (HOST, self.peer))


class Reset:
    """A connection that its peer has reset, and that is still there."""

    def __init__(self, peer, port):
        self.socket = socket.create_connection((peer, port))
        self.socket.setblocking(True)
        while self.socket.getsockopt(socket.SOL_TCP, socket.TCP_INFO, 1) != b"\x07":
            select.select([], [], [], 0.01)

    def use(self):
        try:
            self.socket.getpeername()
            fail("a connection that was reset is connected again")
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise


class Accepted(Reset):
    """The same, of a client's."""

    def __init__(self, port):
        with socket.create_server(("0.0.0.0", port)) as listener:
            client = socket.create_connection(("127.0.0.1", port))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket, _ = listener.accept()
            client.close()
        while self.socket.getsockopt(socket.SOL_TCP, socket.TCP_INFO, 1) != b"\x07":
            select.select([], [], [], 0.01)


class Agent:
    """Sends to a UNIX datagram socket that somebody else has bound, and says so when that works or fails for the first time."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        while self.socket.connect_ex(path):
            select.select([], [], [], 0.01)
        self.outcome = None

    def use(self):
        try:
            self.socket.send(b"step")
            outcome = "sent"
        except OSError as error:
            outcome = errno.errorcode[error.errno]
        if outcome != self.outcome:
            self.outcome = outcome
            os.write(1, f"agent {outcome}\n".encode())


class Stream:
    """A UNIX stream connection to a socket of somebody else, which cannot be frozen."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)

    def use(self):
        pass


class Queueing:
    """Accepts no client."""

    def __init__(self, port):
        self.listener = socket.create_server(("0.0.0.0", port))

    def use(self):
        pass


class Queued(Queueing):
    """A connection that nobody has accepted yet."""

    def __init__(self, port):
        super().__init__(port)
        self.client = socket.create_connection(("127.0.0.1", port))


KINDS = {
    "listen4": lambda: Listening(socket.AF_INET, own(socket.AF_INET, HOST), 7000),
    "listen6": lambda: Listening(socket.AF_INET6, own(socket.AF_INET6, HOST6), 7001),
    "listen-mapped": lambda: Listening(socket.AF_INET6, "::ffff:" + own(socket.AF_INET, HOST), 7002),
    "send4": lambda: Sending(socket.AF_INET, HOST, int(os.environ["PORT4"])),
    "send6": lambda: Sending(socket.AF_INET6, HOST6, int(os.environ["PORT6"])),
    "send-mapped": lambda: Sending(socket.AF_INET6, "::ffff:" + HOST, int(os.environ["PORT4"])),
    "bound": lambda: Bound(own(socket.AF_INET, HOST), 7005, int(os.environ["PORT4"])),
    "reset": lambda: Reset(HOST, int(os.environ["RESETS"])),
    "accepted": lambda: Accepted(7003),
    "agent": lambda: Agent(os.environ.get("AGENT", "/checkpoints/agent.sock")),
    "stream": lambda: Stream("/checkpoints/stream.sock"),
    "queued": lambda: Queued(7004),
    "queueing": lambda: Queueing(7006),
}


# So that an end by a SIGTERM is not taken for a checkpoint.
signal.signal(signal.SIGTERM, lambda *_: os._exit(3))
used = [KINDS[kind]() for kind in sys.argv[1:] if kind in KINDS]
steps = Steps()
while True:
    for one in used:
        one.use()
    steps.step()
    select.select([], [], [], 0.02)
