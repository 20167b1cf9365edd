"""A tree that takes CRIU a while: $1 megabytes, eight threads that make the steps together, and $2 children that answer them.

Handles SIGTERM by asking every child once more and saying goodbye.
"""

import os
import signal
import sys
import threading
import time

from steps import Steps, fail


class Child:
    def __init__(self, others):
        (question, self.ask_here), (self.answered_here, answer) = os.pipe(), os.pipe()
        if os.fork() == 0:
            for here in (self.ask_here, self.answered_here, *(end for other in others for end in other.ends())):
                os.close(here)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
            while asked := os.read(question, 1):
                os.write(answer, asked)
            os._exit(0)
        os.close(question)
        os.close(answer)

    def ends(self):
        return self.ask_here, self.answered_here

    def ask(self):
        try:
            os.write(self.ask_here, b"?")
        except BrokenPipeError:
            pass
        if os.read(self.answered_here, 1) != b"?":
            fail("a child is gone")


children = []
for _ in range(int(sys.argv[2])):
    children.append(Child(children))
memory = bytearray(os.urandom(int(sys.argv[1]) << 20))
before = hash(bytes(memory))
steps = Steps()
turn = threading.Lock()


def work(index):
    while True:
        with turn:
            children[len(steps.tokens) % len(children)].ask()
        steps.step(f"-{index}")
        time.sleep(0.02)


def goodbye(*_):
    with turn:
        for child in children:
            child.ask()
    if hash(bytes(memory)) != before:
        fail("the memory differs")
    # A thread that makes a step holds the lock, so that this is the last line.
    with steps.lock:
        os.write(1, b"goodbye\n")
        os._exit(int(os.environ.get("GOODBYE", "0")))


signal.signal(signal.SIGTERM, goodbye)
for index in range(8):
    threading.Thread(target=work, args=(index,), daemon=True).start()
while True:
    time.sleep(1)
