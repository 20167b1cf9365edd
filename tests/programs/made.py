"""Makes everything that can be in a file system, in the container's layer, in memory and in an emptyDir of either medium, and makes a step only
while all of it is as it was. On a fresh start there must be nothing of it."""

import hashlib
import os
import shutil
import socket
import stat
import struct
import sys
import time

from steps import Steps, fail

PLACES = ["/srv/made", "/dev/shm/made", "/scratch/made", "/memory/made"]
GONE = ["/etc/issue", "/usr/share/common-licenses"]
CHANGED = ["/etc/motd", "/etc/bash.bashrc", "/etc/old_version", "/etc/skel"]


def look(path):
    """Everything about what is at a path, without its change time and inode."""
    found = os.lstat(path)
    kind = stat.S_IFMT(found.st_mode)
    facts = [path, oct(found.st_mode), found.st_uid, found.st_gid]
    if path.endswith("/sockets") or kind == stat.S_IFSOCK:
        # A socket is made anew.
        return facts
    facts.append(found.st_mtime_ns)
    if kind == stat.S_IFREG:
        with open(path, "rb") as file:
            facts += [found.st_size, found.st_nlink, hashlib.sha256(file.read(1 << 20)).hexdigest()]
        facts.append("holes" if found.st_blocks * 512 < found.st_size else "whole")
    if kind == stat.S_IFLNK:
        facts.append(os.readlink(path))
    for name in os.listxattr(path, follow_symlinks=False):
        facts += [name, os.getxattr(path, name, follow_symlinks=False)]
    return facts


def everything():
    found = [look(path) for path in CHANGED]
    for place in PLACES:
        for directory, names, files in os.walk(place):
            found += [look(directory)] + [look(os.path.join(directory, name)) for name in sorted(names + files)]
    found += [f"{path} is there" for path in GONE if os.path.lexists(path)]
    same = os.stat("/srv/made/one").st_ino == os.stat("/srv/made/deep/er/other").st_ino
    return sorted(map(str, found)) + [f"one inode: {same}"]


def acl(*entries):
    """As the kernel keeps one: tag, permissions and id of each entry."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
LIST = acl((1, 6, NOBODY), (2, 4, 7), (4, 4, NOBODY), (0x10, 4, NOBODY), (0x20, 0, NOBODY))


def make(place):
    os.makedirs(f"{place}/deep/er", mode=0o750)
    os.makedirs(f"{place}/empty")
    os.chmod(f"{place}/empty", 0o1777)
    with open(f"{place}/one", "w") as file:
        file.write("contents")
    os.link(f"{place}/one", f"{place}/deep/er/other")
    os.symlink("nowhere", f"{place}/link")
    os.symlink("/etc", f"{place}/etc")
    os.mkfifo(f"{place}/pipe", 0o620)
    with open(f"{place}/holes", "wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 20)
        file.write(b"in the midst")
        file.seek(1 << 39)
        file.write(b"far away")
    with open(os.fsencode(place) + b"/\xff%41 \n", "w") as file:
        file.write("odd")
    with open(f"{place}/owned", "w") as file:
        file.write("x" * 100_000)
    os.chown(f"{place}/owned", 7, 8)
    os.chmod(f"{place}/owned", 0o4711)
    os.setxattr(f"{place}/owned", "user.kept", b"\x00\xffvalue")
    os.utime(f"{place}/owned", ns=(1, 1_000_000_007))
    with open(f"{place}/listed", "w") as file:
        file.write("who may read it is in a list")
    os.setxattr(f"{place}/listed", "system.posix_acl_access", LIST)
    os.setxattr(f"{place}/deep", "system.posix_acl_default", LIST)
    os.lchown(f"{place}/link", 9, 10)
    os.makedirs(f"{place}/sockets", mode=0o700)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{place}/sockets/listening")
    listening.listen()
    os.utime(f"{place}/deep", ns=(1, 2_000_000_007))
    return listening


def change_the_image():
    os.remove(GONE[0])
    shutil.rmtree(GONE[1])
    with open("/etc/motd", "a") as file:
        file.write("changed\n")
    os.chmod("/etc/bash.bashrc", 0o600)
    os.rename("/etc/debian_version", "/etc/old_version")
    # A directory becomes a file.
    shutil.rmtree("/etc/skel")
    with open("/etc/skel", "w") as file:
        file.write("no directory")


left = [path for path in PLACES + ["/etc/old_version"] if os.path.lexists(path)]
gone = [path for path in GONE + ["/etc/debian_version", "/etc/skel/.bashrc"] if not os.path.lexists(path)]
if left or gone or stat.S_IMODE(os.stat("/etc/bash.bashrc").st_mode) != 0o644 or "changed" in open("/etc/motd").read():
    fail(f"left of another life: {left} {gone}")
listening = [make(place) for place in PLACES]
change_the_image()
expected = everything()
steps = Steps()
while True:
    now = everything()
    if now != expected:
        fail(f"was {sorted(set(expected) - set(now))}\nis {sorted(set(now) - set(expected))}")
    for place in PLACES:
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"{place}/sockets/listening")
        client.close()
    for one in listening:
        one.accept()[0].close()
    steps.step()
    time.sleep(0.01)
