"""Has a seccomp filter by which the kernel answers one call with error 99; ends when it no longer does.

`nobody`: no process has it. `child`: a child named `sandboxed`. `all`: this process, and a thread besides.
"""

import ctypes
import os
import struct
import sys
import threading
import time

from steps import Steps

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, MODE_FILTER = 22, 38, 2
ALLOW, ERRNO_99 = 0x7FFF0000, 0x00050000 | 99
GETPRIORITY = {"x86_64": 140, "aarch64": 141}[os.uname().machine]

libc = ctypes.CDLL(None, use_errno=True)


def set_filter():
    # struct sock_filter: load the number of the call, compare it, return what comes of it.
    program = [(0x20, 0, 0, 0), (0x15, 0, 1, GETPRIORITY), (0x06, 0, 0, ERRNO_99), (0x06, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))
    told = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)))
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, MODE_FILTER, told, 0, 0) == 0, os.strerror(ctypes.get_errno())


def keep():
    try:
        os.getpriority(os.PRIO_PROCESS, 0)
        os._exit(71)
    except OSError as error:
        if error.errno != 99:
            os._exit(72)


def keep_on():
    while True:
        keep()
        time.sleep(0.01)


who = sys.argv[1]
if who == "child" and os.fork() == 0:
    with open("/proc/self/comm", "w") as name:
        name.write("sandboxed")
    set_filter()
    keep_on()
if who == "all":
    set_filter()
    threading.Thread(target=keep_on, daemon=True).start()

steps = Steps()
while True:
    if who == "all":
        keep()
    steps.step()
    time.sleep(0.01)
