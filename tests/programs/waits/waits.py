"""Waits again and again in each way that Python has, each in a thread of its own.

After each wait it prints `tick NAME MONOTONIC BOOTTIME`: in which way it waited, and what its clocks say, in nanoseconds.
"""

import asyncio
import ctypes
import os
import queue
import select
import signal
import threading
import time

PAUSE = 0.2


def tick(name):
    monotonic = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    boottime = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    # One system call a line: a pipe keeps it whole.
    os.write(1, f"tick {name} {monotonic} {boottime}\n".encode())


def repeat(name, wait):
    while True:
        wait()
        tick(name)


def condition():
    one = threading.Condition()
    with one:
        one.wait(PAUSE)


def empty_queue():
    try:
        queue.Queue().get(timeout=PAUSE)
    except queue.Empty:
        pass


def epoll():
    one = select.epoll()
    one.poll(PAUSE)
    one.close()


def timerfd():
    one = os.timerfd_create(time.CLOCK_MONOTONIC)
    os.timerfd_settime(one, flags=os.TFD_TIMER_ABSTIME, initial=time.monotonic() + PAUSE)
    os.read(one, 8)
    os.close(one)


async def loop():
    while True:
        await asyncio.sleep(PAUSE)
        tick("asyncio")


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class Timer(ctypes.Structure):
    _fields_ = [("interval", Timespec), ("value", Timespec)]


class Event(ctypes.Structure):
    _fields_ = [("value", ctypes.c_void_p), ("signal", ctypes.c_int), ("notify", ctypes.c_int), ("pad", ctypes.c_char * 48)]


TIMER_ABSTIME = 1
SIGEV_SIGNAL = 0


def posix_timer():
    libc = ctypes.CDLL(None, use_errno=True)
    timer, event = ctypes.c_void_p(), Event(signal=signal.SIGUSR1, notify=SIGEV_SIGNAL)
    if libc.timer_create(time.CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)):
        raise OSError(ctypes.get_errno(), "timer_create")
    while True:
        at = time.monotonic_ns() + int(PAUSE * 1e9)
        once = Timer(value=Timespec(*divmod(at, 10**9)))
        libc.timer_settime(timer, TIMER_ABSTIME, ctypes.byref(once), None)
        # Not for ever: CRIU loses the signal of a timer that ends between its looks at signals and at timers.
        if signal.sigtimedwait({signal.SIGUSR1}, 5 * PAUSE):
            tick("posix-timer")


WAYS = {
    "sleep": lambda: time.sleep(PAUSE),
    "event": lambda: threading.Event().wait(PAUSE),
    "condition": condition,
    "queue": empty_queue,
    "select": lambda: select.select([], [], [], PAUSE),
    "epoll": epoll,
    "timerfd": timerfd,
}

# All threads have it blocked, and one waits for it.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
for name, wait in WAYS.items():
    threading.Thread(target=repeat, args=(name, wait), daemon=True).start()
threading.Thread(target=lambda: asyncio.run(loop()), daemon=True).start()
posix_timer()
