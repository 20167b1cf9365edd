"""Changes files of every kind in its container's layer when it is told to, and makes a step only while all of it is as it was.
/usr/share/common-licenses and /etc are as the image has them before that."""

import mmap
import os
import sys
import time

from steps import Steps, fail

LICENSES = "/usr/share/common-licenses"
WATCHED = ["/etc", LICENSES, "/srv"]


def look(path):
    found = os.lstat(path)
    facts = [path, oct(found.st_mode), found.st_uid, found.st_size, found.st_mtime_ns if os.path.isfile(path) else 0]
    if os.path.islink(path):
        return facts + [os.readlink(path)]
    if os.path.isfile(path):
        with open(path, "rb") as file:
            facts += [hash(file.read()), found.st_nlink]
    return facts + [f"{name}={os.getxattr(path, name)}" for name in os.listxattr(path)]


def everything():
    found = []
    for place in WATCHED:
        for directory, names, files in os.walk(place):
            # Mounts of the node's, and what has their names.
            files = [name for name in files if name not in ("hosts", "hostname", "resolv.conf")]
            names[:] = [name for name in names if name != "crik"]
            found += [look(os.path.join(directory, name)) for name in names + files]
    return sorted(map(str, found))


def mapped(path):
    """A mapping of a file that is open no more."""
    with open(path, "r+b") as file:
        return mmap.mmap(file.fileno(), 0)


def change(before):
    def rewrite(path, text):
        with open(path, "r+") as file:
            file.write(text)

    rewrite("/etc/motd", "Rewritten in its place")
    os.chmod("/etc/bash.bashrc", 0o600)
    os.chown("/etc/skel/.profile", 7, 7)
    os.rename("/etc/debian_version", "/etc/old_version")
    os.rename("/etc/issue.net", "/etc/issue")
    os.remove("/etc/skel/.bashrc")
    if sys.argv[1] == "link":
        os.link("/etc/skel/.bash_logout", "/etc/linked")
    os.makedirs("/srv/new/deep/er")
    with open("/srv/new/deep/er/file", "w") as file:
        file.write("in a new directory")
    os.mkfifo("/srv/new/pipe")
    os.symlink("nowhere", "/srv/link")
    os.setxattr("/etc/passwd", "user.kept", b"value")
    os.utime("/etc/group", ns=(1, 1_000_000_007))
    os.truncate("/etc/shells", 10)
    with open("/srv/earlier", "a") as file:
        file.write(", and later")
    # What was mapped before, and what is only now, and is mapped no more when the tree stands still.
    for mapping in before + [mapped(f"{LICENSES}/BSD")]:
        mapping[:7] = b"Through"
        mapping.close()


with open("/srv/earlier", "w") as file:
    file.write("made before")
mappings = [mapped(f"{LICENSES}/Artistic")]
kept = mapped(f"{LICENSES}/GPL-1")
is_open = open(f"{LICENSES}/GPL-2", "r+b", buffering=0)
steps, expected = Steps(), everything()
while True:
    if mappings and os.path.exists("/dev/shm/change"):
        change(mappings)
        mappings = []
        kept[:4] = b"Kept"
        is_open.write(b"Open")
        expected = everything()
        open("/dev/shm/changed", "w").close()
    now = everything()
    if now != expected:
        fail(f"was {sorted(set(expected) - set(now))}\nis {sorted(set(now) - set(expected))}")
    steps.step()
    time.sleep(0.01)
