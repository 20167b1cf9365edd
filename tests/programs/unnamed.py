"""Open files that have lost their name and still have another, or are mapped: what is written to them is in all of them."""

import mmap
import os
import sys
import time

from steps import Steps, fail

directory = sys.argv[1]
os.makedirs(f"{directory}/gone")

# Two open files of one name that is another's by now.
first = open(f"{directory}/a", "w+b", buffering=0)
again = os.open(f"{directory}/a", os.O_RDONLY)
os.link(f"{directory}/a", f"{directory}/b")
os.unlink(f"{directory}/a")
open(f"{directory}/a", "w").write("another file\n")

# One whose directory is gone, and one that is mapped and not open.
lost = open(f"{directory}/gone/x", "w+b", buffering=0)
os.link(f"{directory}/gone/x", f"{directory}/y")
os.unlink(f"{directory}/gone/x")
os.rmdir(f"{directory}/gone")
with open(f"{directory}/m", "w+b") as file:
    file.truncate(4096)
    mapped = mmap.mmap(file.fileno(), 4096)
os.link(f"{directory}/m", f"{directory}/n")
os.unlink(f"{directory}/m")

# One of the container's own layer, which is carried whole.
layer = open("/srv/l", "w+b", buffering=0)
os.link("/srv/l", "/srv/other")
os.unlink("/srv/l")

steps = Steps()
written = 0
while True:
    steps.step()
    line = b"%016d\n" % len(steps.tokens)
    first.write(line)
    lost.write(line)
    layer.write(line)
    mapped[0:17] = line
    written += len(line)
    for one, name in [(first.fileno(), "b"), (again, "b"), (lost.fileno(), "y")]:
        found, named = os.fstat(one), os.stat(f"{directory}/{name}")
        if found.st_size != written or found.st_ino != named.st_ino:
            fail(f"{name}: {found.st_size} of {written} bytes, inodes {found.st_ino} and {named.st_ino}")
    if os.fstat(layer.fileno()).st_size != written:
        fail("the file of the layer has another size than what was written")
    if open(f"{directory}/n", "rb").read(17) != line:
        fail("what is mapped is another file")
    if open(f"{directory}/a").read() != "another file\n":
        fail("the file that has the name now was changed")
    time.sleep(0.01)
