"""Like single.py, and has of System V what its arguments name: says `has KIND ID` of each. With `user` it has become another user before."""

import ctypes
import os
import signal
import sys
import threading
import time
from ctypes import c_long, c_short, c_ushort, c_void_p

from steps import Steps

IPC_RMID, IPC_NOWAIT, SEM_UNDO, GETVAL, SETVAL, KEY = 0, 0o4000, 0o10000, 12, 16, 0x63726B
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = c_void_p


class Operation(ctypes.Structure):
    _fields_ = [("number", c_ushort), ("change", c_short), ("flags", c_short)]


def call(name, *args):
    result = getattr(libc, name)(*args)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result


def shared_memory():
    """Mapped, and gone from the list of names."""
    memory = call("shmget", 0, 4096, 0o600)
    call("shmat", memory, None, 0)
    call("shmctl", memory, IPC_RMID, None)
    return memory


def memory_of_nobody():
    """Made by a process that has ended, and mapped by none."""
    if os.fork() == 0:
        call("shmget", KEY, 4096, 0o1600)
        os._exit(0)
    os.wait()
    return call("shmget", KEY, 0, 0)


def queue():
    queue = call("msgget", KEY, 0o1600)
    call("msgsnd", queue, ctypes.byref(c_long(1)), 0, IPC_NOWAIT)
    return queue


def semaphores():
    semaphores = call("semget", KEY, 2, 0o1600)
    call("semctl", semaphores, 1, SETVAL, 3)
    return semaphores


def fresh_semaphores():
    return call("semget", KEY, 2, 0o1600)


def waits():
    """Nobody has used them yet, but a thread waits."""
    semaphores = fresh_semaphores()
    operation = Operation(0, -1, 0)
    threading.Thread(target=libc.semop, args=(semaphores, ctypes.byref(operation), 1), daemon=True).start()
    return semaphores


def lent():
    """One, which a child takes and gives back as it ends: when there is a file /tmp/end."""
    semaphores, operation = fresh_semaphores(), Operation(0, -1, SEM_UNDO)
    call("semctl", semaphores, 0, SETVAL, 1)
    child = os.fork()
    if child == 0:
        call("semop", semaphores, ctypes.byref(operation), 1)
        while not os.path.exists("/tmp/end"):
            time.sleep(0.01)
        os._exit(0)
    while call("semctl", semaphores, 0, GETVAL) == 1:
        time.sleep(0.01)

    def tell():
        os.waitpid(child, 0)
        print("after its end it is", call("semctl", semaphores, 0, GETVAL), file=sys.stderr, flush=True)

    threading.Thread(target=tell, daemon=True).start()
    return semaphores


def posix_queue():
    """Not of System V; it is there under its name alone."""
    os.close(call("mq_open", b"/crik", os.O_RDWR | os.O_CREAT, 0o600, None))
    return "/crik"


def goodbye(*_):
    os.write(1, b"goodbye\n")
    os._exit(0)


signal.signal(signal.SIGTERM, goodbye)
if "user" in sys.argv:
    os.setuid(33)
KINDS = shared_memory, memory_of_nobody, queue, semaphores, fresh_semaphores, waits, lent, posix_queue
for kind in KINDS:
    if kind.__name__ in sys.argv[1:]:
        print(f"has {kind.__name__} {kind()}", file=sys.stderr, flush=True)
steps = Steps()
while True:
    steps.step()
    time.sleep(0.01)
