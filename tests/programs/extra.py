"""Keeps files outside the volume open, and an inotify watch; makes a step only while all of them are as they were."""

import ctypes
import os
import sys
import time

from steps import Steps, fail

directory, watched = sys.argv[1:]
os.makedirs(directory, exist_ok=True)
os.makedirs(watched, exist_ok=True)
with open(f"{directory}/config", "w") as file:
    file.write("as it was")
os.chmod(f"{directory}/config", 0o640)
os.chown(f"{directory}/config", 7, 8)
kept = open(f"{directory}/config")

libc = ctypes.CDLL(None)
inotify = libc.inotify_init1(os.O_NONBLOCK)
libc.inotify_add_watch(inotify, watched.encode(), 0x200)

# As a runtime does that looks up its limits: the path has this container's name in it.
with open("/proc/self/cgroup") as file:
    groups = {line.split(":")[1]: line.split(":")[2].strip() for line in file}
# cgroup v1 has a hierarchy for the controller, v2 has one for all.
limit = open(f"/sys/fs/cgroup/pids{groups['pids']}/pids.max" if "pids" in groups else f"/sys/fs/cgroup{groups['']}/pids.max")

steps = Steps()
while True:
    kept.seek(0)
    if kept.read() != "as it was":
        fail("the open file is another one")
    found = os.stat(f"{directory}/config")
    if (found.st_mode & 0o777, found.st_uid, found.st_gid) != (0o640, 7, 8):
        fail(f"the file came back with {found}")
    limit.seek(0)
    if not limit.read():
        fail("the control group file is empty")
    steps.step()
    time.sleep(0.01)
