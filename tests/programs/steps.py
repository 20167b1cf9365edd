"""The protocol of the test programs: a chain of steps that shows if one was lost or repeated.

`begin SEED` once, then `step N TOKEN HASH`, where HASH is over the hash before and a random TOKEN. All tokens stay in
memory, and the chain is recomputed from them again and again, so that memory that came back altered shows too.
"""

import hashlib
import os
import sys
import threading


class Steps:
    def __init__(self):
        self.lock = threading.Lock()
        self.tokens = []
        self.seed = os.urandom(16).hex()
        self.hash = self.first()
        self.write(f"begin {self.seed}")

    def first(self):
        return hashlib.sha256(self.seed.encode()).hexdigest()

    def step(self, label=""):
        with self.lock:
            token = os.urandom(4).hex() + label
            self.tokens.append(token)
            self.hash = link(self.hash, token)
            self.write(f"step {len(self.tokens)} {token} {self.hash}")
            if len(self.tokens) % 50 == 0:
                self.check()

    def check(self):
        recomputed = self.first()
        for token in self.tokens:
            recomputed = link(recomputed, token)
        if recomputed != self.hash:
            self.write("altered")
            os._exit(70)

    def write(self, line):
        # One system call a line: a pipe keeps it whole.
        os.write(1, (line + "\n").encode())


def link(before, token):
    return hashlib.sha256((before + token).encode()).hexdigest()


def fail(why):
    print(why, file=sys.stderr, flush=True)
    os._exit(71)
