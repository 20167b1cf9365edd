"""Writes each step to a file that is open and has no name any more, and expects it to have exactly what it wrote."""

import os
import sys
import time

from steps import Steps, fail

path = sys.argv[1]
out = open(path, "w+b", buffering=0)
os.unlink(path)

steps = Steps()
written = b""
while True:
    steps.step()
    line = b"%016d\n" % len(steps.tokens)
    out.write(line)
    written += line
    if os.pread(out.fileno(), len(written) + 1, 0) != written:
        fail(f"the file has {os.fstat(out.fileno()).st_size} bytes, and {len(written)} were written")
    if os.path.exists(path):
        fail(f"{path} has come back")
    time.sleep(0.01)
