"""Open files: a log on the volume that is appended to, one that is read and written in place, and a deleted one."""

import os
import sys
import tempfile
import time

from steps import Steps, fail

directory = sys.argv[1]
os.makedirs(directory, exist_ok=True)
log = os.open(f"{directory}/log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
place = os.open(f"{directory}/place", os.O_CREAT | os.O_RDWR)
ghost = tempfile.TemporaryFile()

steps = Steps()
while True:
    steps.step()
    line = f"{len(steps.tokens)} {steps.hash}\n".encode()
    os.write(log, line)
    ghost.write(line)
    ghost.flush()
    if ghost.tell() != os.fstat(ghost.fileno()).st_size:
        fail("the deleted file has another size than what was written")
    previous = os.pread(place, 16, 0)
    if previous and int(previous) != len(steps.tokens) - 1:
        fail(f"the file says {previous}, and this is step {len(steps.tokens)}")
    os.pwrite(place, b"%016d" % len(steps.tokens), 0)
    time.sleep(0.01)
