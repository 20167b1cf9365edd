"""Holds $1 megabytes as $2 says, and makes a step every few milliseconds. A SIGHUP computes a tenth of them anew.

`arrays` are the cells of a simulation that is under way: doubles, of which two in five have a value of their own and the others
still that which all began with. `random` is what nothing makes smaller.
"""

import hashlib
import mmap
import signal
import sys
import time

from steps import Steps

MEGABYTE = 1 << 20
# Room temperature, in kelvins, as a processor keeps it.
BEGAN_WITH = b"\x9a\x99\x99\x99\x99\x51\x72\x40"
# So many bytes of cells that have changed, then so many that have not, and so on.
CHANGED, UNCHANGED = 2048, 3072
# Values that are near each other have the same sign and nearly the same exponent.
SAME_BYTE = BEGAN_WITH[7:]


def noise(name, size):
    return hashlib.shake_128(name.encode()).digest(size)


def random(name):
    return noise(name, MEGABYTE)


def arrays(name):
    cells = bytearray(BEGAN_WITH * (MEGABYTE // 8))
    starts = range(0, MEGABYTE, CHANGED + UNCHANGED)
    values = bytearray(noise(name, CHANGED * len(starts)))
    values[7::8] = SAME_BYTE * (len(values) // 8)
    for at, start in zip(range(0, len(values), CHANGED), starts):
        size = min(CHANGED, MEGABYTE - start)
        cells[start : start + size] = values[at : at + size]
    return cells


def compute(numbers, when):
    for number in numbers:
        memory[number * MEGABYTE : (number + 1) * MEGABYTE] = kind(f"{when} {number}")


def compute_a_tenth(_signal, _frame):
    global rounds
    rounds += 1
    compute(range(rounds % 10, megabytes, 10), rounds)
    steps.write("changed")


megabytes, kind = int(sys.argv[1]), {"arrays": arrays, "random": random}[sys.argv[2]]
memory = mmap.mmap(-1, megabytes * MEGABYTE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
rounds = 0
compute(range(megabytes), rounds)
steps = Steps()
signal.signal(signal.SIGHUP, compute_a_tenth)
while True:
    steps.step()
    time.sleep(0.002)
