"""A tree with pipes between its members: each step goes through every worker and back.

There is a worker for each user that is named, or some of the same user; one of another user has limits of its own.
"""

import os
import resource
import sys
import time

from steps import Steps, fail

WORKERS = [int(user) for user in sys.argv[1:]] or [os.getuid()] * 3


def become(user):
    if user == os.getuid():
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (200 + user % 100, 300 + user % 100))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 40, resource.RLIM_INFINITY))
    os.setgroups([user])
    os.setgid(user)
    os.setuid(user)


def worker(read, write):
    seen = 0
    while True:
        number = os.read(read, 8)
        seen += 1
        # A worker knows how many it has handed on: a step that is lost between two members shows here.
        if int.from_bytes(number, "big") != seen:
            fail(f"a worker saw {number} as number {seen}")
        os.write(write, number)


first_read, first_write = os.pipe()
read = first_read
for user in WORKERS:
    next_read, next_write = os.pipe()
    if os.fork() == 0:
        become(user)
        worker(read, next_write)
    read = next_read

steps = Steps()
number = 0
while True:
    number += 1
    os.write(first_write, number.to_bytes(8, "big"))
    if os.read(read, 8) != number.to_bytes(8, "big"):
        fail("a step came back changed")
    steps.step()
    time.sleep(0.01)
