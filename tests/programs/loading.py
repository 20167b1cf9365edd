"""Has two children that stand still in the dynamic linker until there is a file /tmp/go, and says when both have ended well.

One is stopped before its first instruction, the other waits for a library that is a FIFO, when crik's own is mapped already. Each
then waits for a moment by the clock.
"""

import ctypes
import os
import signal
import sys
import time

from steps import Steps

PTRACE_TRACEME, PTRACE_DETACH = 0, 17
SLEEP = ["sleep", "0.1"]

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]


def stopped_at_its_first_instruction():
    child = os.fork()
    if child == 0:
        libc.ptrace(PTRACE_TRACEME, 0, None, None)
        os.execv("/usr/bin/sleep", SLEEP)
    os.waitpid(child, 0)
    if libc.ptrace(PTRACE_DETACH, child, None, signal.SIGSTOP) != 0:
        sys.exit("cannot be let go")
    os.waitpid(child, os.WUNTRACED)
    return child


def waits_for_a_library(fifo):
    os.mkfifo(fifo)
    child = os.fork()
    if child == 0:
        preload = os.environ.get("LD_PRELOAD", "") + ":" + fifo
        os.execve("/usr/bin/sleep", SLEEP, {**os.environ, "LD_PRELOAD": preload})
    return child


def let_go(stopped, waiting, fifo):
    os.kill(stopped, signal.SIGCONT)
    # Is no library, which the linker tells and then does without.
    os.close(os.open(fifo, os.O_WRONLY))
    for child in (stopped, waiting):
        print("ended with", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=sys.stderr, flush=True)


fifo = "/tmp/library"
children = [stopped_at_its_first_instruction(), waits_for_a_library(fifo)]
steps = Steps()
while True:
    if children and os.path.exists("/tmp/go"):
        let_go(*children, fifo)
        children = []
    steps.step()
    time.sleep(0.01)
