"""Watches directories and files by inotify, or by fanotify, and tells on its standard error what has changed in each.

watcher.py [--gone] [--each DIRECTORY NUMBER] [--fanotify] PATH…
"""

import ctypes
import os
import struct
import sys
import time

from steps import Steps

IN_MODIFY, IN_MOVED_TO, IN_CREATE = 0x2, 0x80, 0x100
FAN_NONBLOCK, FAN_REPORT_FID, FAN_MARK_ADD, FAN_ON_CHILD = 0x2, 0x200, 0x1, 0x08000000
AT_FDCWD = -100

libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def say(what):
    os.write(2, (what + "\n").encode())


class Inotify:
    def __init__(self):
        self.fd, self.paths = checked(libc.inotify_init1(os.O_NONBLOCK)), {}

    def watch(self, path):
        mask = IN_MODIFY | IN_MOVED_TO | IN_CREATE
        self.paths[checked(libc.inotify_add_watch(self.fd, path.encode(), mask))] = path

    def tell(self):
        events = os.read(self.fd, 65536)
        while events:
            watch, _, _, length = struct.unpack("iIII", events[:16])
            name = events[16 : 16 + length].rstrip(b"\0").decode()
            say(f"{self.paths.get(watch)} told of {name or 'itself'}.")
            events = events[16 + length :]


class Fanotify:
    def __init__(self):
        self.fd, self.paths = checked(libc.fanotify_init(FAN_REPORT_FID | FAN_NONBLOCK, os.O_RDONLY)), []

    def watch(self, path):
        mask = ctypes.c_uint64(IN_MODIFY | FAN_ON_CHILD)
        checked(libc.fanotify_mark(self.fd, FAN_MARK_ADD, mask, AT_FDCWD, path.encode()))
        self.paths.append(path)

    def tell(self):
        if os.read(self.fd, 65536):
            say(f"{' '.join(self.paths)} told by fanotify.")


arguments = sys.argv[1:]
notify = Inotify()
if "--gone" in arguments:
    arguments.remove("--gone")
    gone = open("/checkpoints/gone", "w")
    notify.watch("/checkpoints/gone")
    os.unlink("/checkpoints/gone")
if "--each" in arguments:
    at = arguments.index("--each")
    directory, number = arguments[at + 1], int(arguments[at + 2])
    del arguments[at : at + 3]
    for each in range(number):
        os.makedirs(f"{directory}/{each % 10}/{each}", exist_ok=True)
        notify.watch(f"{directory}/{each % 10}/{each}")
notifies = [notify]
if "--fanotify" in arguments:
    at = arguments.index("--fanotify")
    fanotify = Fanotify()
    os.makedirs(arguments[at + 1], exist_ok=True)
    fanotify.watch(arguments[at + 1])
    del arguments[at : at + 2]
    notifies.append(fanotify)
for path in arguments:
    if not os.path.exists(path):
        os.makedirs(path)
    notify.watch(path)

steps = Steps()
while True:
    for notify in notifies:
        try:
            notify.tell()
        except BlockingIOError:
            pass
    steps.step()
    time.sleep(0.01)
