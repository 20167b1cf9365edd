"""Programs that keep files which only their own container has: reports of CRIU's users tell of each. One line of output is one
step, which is made only while all is as the program left it."""

import ctypes
import mmap
import multiprocessing
import os
import sys
import tempfile
import time

from steps import Steps, fail


def jvm():
    """What HotSpot does for jps and jstat."""
    os.makedirs("/tmp/hsperfdata_root", mode=0o755)
    file = open(f"/tmp/hsperfdata_root/{os.getpid()}", "w+b")
    file.truncate(32768)
    shared = mmap.mmap(file.fileno(), 32768)
    shared[:4] = (0).to_bytes(4, "little")

    def check():
        count = int.from_bytes(shared[:4], "little") + 1
        shared[:4] = count.to_bytes(4, "little")
        with open(f"/tmp/hsperfdata_root/{os.getpid()}", "rb") as again:
            return int.from_bytes(again.read(4), "little") == count

    return check


def manager():
    """A server process that listens on a socket in a directory of its own."""
    numbers = multiprocessing.Manager().dict()
    numbers["n"] = 0

    def check():
        numbers["n"] += 1
        return numbers["n"] >= 1

    return check


def log():
    os.makedirs("/var/log/app", exist_ok=True)
    file = open("/var/log/app/app.log", "a")
    lines = []

    def check():
        lines.append(f"line {len(lines)}\n")
        file.write(lines[-1])
        file.flush()
        with open("/var/log/app/app.log") as again:
            return again.read() == "".join(lines)

    return check


def shm():
    from multiprocessing import shared_memory

    memory = shared_memory.SharedMemory(create=True, size=1 << 20)
    memory.buf[:8] = b"as it wa"

    def check():
        other = shared_memory.SharedMemory(name=memory.name, track=False) if sys.version_info >= (3, 13) else memory
        return bytes(other.buf[:8]) == b"as it wa" and os.path.getsize(f"/dev/shm/{memory.name}") == 1 << 20

    return check


def temporary():
    file = tempfile.NamedTemporaryFile(dir="/var/tmp")
    file.write(b"kept")
    file.flush()
    return lambda: open(file.name, "rb").read() == b"kept"


def semaphore():
    """Named semaphores whose names are gone but for one."""
    context = multiprocessing.get_context("spawn")
    lock, queue = context.Lock(), context.SimpleQueue()

    def check():
        with lock:
            queue.put(1)
            return queue.get() == 1

    return check


def closed():
    """A file that nobody has open: only the program's next look finds that it is gone."""
    os.makedirs("/opt/app/state", exist_ok=True)
    with open("/opt/app/state/data", "w") as file:
        file.write("written and closed")
    return lambda: open("/opt/app/state/data").read() == "written and closed"


def empty_dir():
    with open("/scratch/data", "w") as file:
        file.write("in an emptyDir")
    kept = open("/scratch/data")
    return lambda: os.path.samestat(os.fstat(kept.fileno()), os.stat("/scratch/data"))


def journal():
    """As a database writes segments: what it does not know of is another life's."""
    directories = ["/scratch", "/dev/shm/segments", "/srv/segments"]
    for directory in directories:
        os.makedirs(directory, exist_ok=True)
    made = []

    def check():
        for directory in directories:
            open(f"{directory}/segment-{len(made)}", "w").close()
        made.append(f"segment-{len(made)}")
        return all(sorted(os.listdir(directory)) == sorted(made) for directory in directories)

    return check


if __name__ == "__main__":
    check = globals()[sys.argv[1]]()
    steps = Steps()
    while True:
        if not check():
            fail(f"{sys.argv[1]}: something is not as it was")
        steps.step()
        time.sleep(0.01)
