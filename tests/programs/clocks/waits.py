"""Waits in the ways that Python has. Prints a line each: its name and for how many milliseconds of real time."""

import asyncio
import ctypes
import os
import queue
import select
import signal
import threading
import time

PAUSE = 0.3


def with_condition():
    condition = threading.Condition()
    with condition:
        condition.wait(PAUSE)


def with_lock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire(timeout=PAUSE)


def with_queue():
    try:
        queue.Queue().get(timeout=PAUSE)
    except queue.Empty:
        pass


def with_signal():
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, PAUSE)
    signal.pause()


def with_loop():
    async def wait():
        try:
            await asyncio.wait_for(asyncio.Event().wait(), PAUSE)
        except TimeoutError:
            pass
        except asyncio.TimeoutError:
            pass

    asyncio.run(wait())


def in_child():
    child = os.fork()
    if child == 0:
        time.sleep(PAUSE)
        os._exit(0)
    os.waitpid(child, 0)


WAYS = {
    "sleep": lambda: time.sleep(PAUSE),
    "event": lambda: threading.Event().wait(PAUSE),
    "condition": with_condition,
    "lock": with_lock,
    "queue": with_queue,
    "select": lambda: select.select([], [], [], PAUSE),
    "poll": lambda: select.poll().poll(PAUSE * 1000),
    "epoll": lambda: select.epoll().poll(PAUSE),
    "itimer": with_signal,
    "asyncio": with_loop,
    "child": in_child,
}


def from_the_c_library():
    """As a program that takes the function from the library itself, past what stands before it."""
    pair = (ctypes.c_long * 2)()
    ctypes.CDLL("libc.so.6").clock_gettime(time.CLOCK_MONOTONIC, pair)
    return pair[0] + pair[1] / 1e9


for name, wait in WAYS.items():
    began = time.time()
    wait()
    print(name, round((time.time() - began) * 1000))
print("apart", round(abs(from_the_c_library() - time.monotonic()) * 1000))
