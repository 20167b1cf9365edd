"""Steps that are made by an interval timer's signal handler; SIGUSR1 and SIGUSR2 are counted by others."""

import os
import signal

from steps import Steps

steps = Steps()
seen = {signal.SIGUSR1: 0, signal.SIGUSR2: 0}


def count(number, _):
    seen[number] += 1
    os.write(1, f"signal {signal.Signals(number).name} {seen[number]}\n".encode())


for number in seen:
    signal.signal(number, count)


def tick(*_):
    # A step may take longer than the interval on a busy machine; the handler must not wait for what it interrupts.
    if not steps.lock.locked():
        steps.step()


signal.signal(signal.SIGALRM, tick)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
while True:
    signal.pause()
